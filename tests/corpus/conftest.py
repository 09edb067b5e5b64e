"""A corpus so small that preparing it takes a moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.manifest import CorpusPlan, make_plan

WORDS = (
    *("the", "a", "cat", "dog", "mouse", "sat", "ran", "saw", "slept", "on", "under"),
    *("mat", "house", "tree", "not", "very", "big", "small", "and", "or", "quickly", "today"),
)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS, "##s", "##ly"]


def make_text(documents: int, seed: int = 0) -> str:
    """Documents of one to four lines of words, each followed by an empty line."""
    generator = np.random.default_rng(seed)

    def line() -> str:
        return " ".join(generator.choice(WORDS, generator.integers(3, 12))) + "."

    return "".join("\n".join(line() for _ in range(generator.integers(1, 5))) + "\n\n" for _ in range(documents))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """60 documents."""
    path = tmp_path / "text.txt"
    path.write_text(make_text(60), encoding="utf-8")
    return path


@pytest.fixture
def vocab_file(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def make_corpus_plan(text_file: Path, vocab_file: Path) -> Callable[..., CorpusPlan]:
    """Plans `text_file` in records of 9 tokens, with a quarter of the documents for the test and many small shards."""

    def make(*sources: Path | str, shard_characters: int = 400, **split: Any) -> CorpusPlan:
        import dataclasses

        given = [str(source) for source in sources] or [str(text_file)]
        plan = make_plan(given, vocab_file, 9, DocumentRules(), DocumentSplit(**{"test_share": 0.25, **split}))
        return dataclasses.replace(plan, shard_characters=shard_characters)

    return make
