"""A corpus and settings so small that a pre-training takes seconds."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings, resolve_settings
from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.manifest import Corpus, make_plan
from power_bert.corpus.preparation import prepare_corpus

NOUNS, VERBS = ("cat", "dog", "mouse", "bird"), ("sleep", "run", "jump", "sing")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", *NOUNS, *VERBS, "##s", "##ing", "##er"]
LENGTH = 11


def make_text(documents: int) -> str:
    """Every noun has one verb, so that there is something to learn; "sleepers" is three tokens."""
    generator = np.random.default_rng(0)

    def sentence() -> str:
        number = generator.integers(4)
        return f"the {NOUNS[number]} {VERBS[number]}{generator.choice(['s', 'ing', 'ers'])}."

    return "".join("\n".join(sentence() for _ in range(6)) + "\n\n" for _ in range(documents))


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """About 400 training records of 11 tokens in several shards, and 100 for the test."""
    import dataclasses

    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text.txt").write_text(make_text(120), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    vocabulary, rules, split = folder / "vocab.txt", DocumentRules(), DocumentSplit(0.2)
    plan = make_plan([str(folder / "text.txt")], vocabulary, LENGTH, rules, split)
    return prepare_corpus(dataclasses.replace(plan, shard_characters=2500), folder / "corpus", vocabulary)


@pytest.fixture(scope="session")
def make_settings(tiny_corpus: Corpus) -> Callable[..., PretrainingSettings]:
    def make(**changes: Any) -> PretrainingSettings:
        tiny = {"corpus": str(tiny_corpus.folder), "layers": 1, "hidden": 12, "heads": 3, "intermediate": 17}
        training = {"steps": 10, "interval": 4, "batch": 8, "evaluation_records": 50, "learning_rate": 0.01}
        return resolve_settings({**tiny, **training, **changes})

    return make


@pytest.fixture
def console() -> Console:
    """What is printed can be read with `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=250)


@pytest.fixture(scope="session")
def weights_of() -> Callable[[Path], dict[str, np.ndarray]]:
    """All arrays of the weights of a preset."""
    import h5py

    def read(model: Path) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for path in sorted(model.glob("*.h5")):
            with h5py.File(path) as file:

                def keep(name: str, item: Any, prefix: str = path.name) -> None:
                    if isinstance(item, h5py.Dataset):
                        found[f"{prefix}/{name}"] = item[()]

                file.visititems(keep)
        return found

    return read
