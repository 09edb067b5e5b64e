"""A checkpoint and data sets so small that a whole run takes seconds."""

import dataclasses
import io
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from isolation import made_once
from power_bert.config import Experiment, resolve_experiment

WORDS = (
    *("the", "a", "cat", "dog", "mouse", "sat", "ran", "saw", "slept", "on", "under"),
    *("mat", "house", "tree", "not", "very", "big", "small", "and", "or", "quickly", "today"),
)
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *string.ascii_lowercase,
    *".,?",
    *(word for word in WORDS if len(word) > 1),
]
ROWS = {"train": 40, "dev": 12, "test": 9}
FOLDERS = {"cola": "CoLA", "mrpc": "MRPC", "sts-b": "STS-B"}


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of 2 to 9 words, all of the first or all of the second half of WORDS: the two classes."""
    generator = np.random.default_rng(seed)
    halves = np.array_split(WORDS, 2)
    choices = [(halves[generator.integers(2)], generator.integers(2, 10)) for _ in range(count)]
    return [" ".join(generator.choice(words, length)) + "." for words, length in choices]


def write_tiny_data(glue_folder: Path, task: str, rows: dict[str, int] | None = None) -> Path:
    """The files of one task in GLUE's own layout; labels follow from the words, so that there is something to learn."""
    folder = glue_folder / FOLDERS[task]
    folder.mkdir(parents=True)
    for seed, (split, count) in enumerate((rows or ROWS).items()):
        first, second = sentences(count, seed), sentences(count, 100 + seed)
        lines = [_row(task, split, index, *pair) for index, pair in enumerate(zip(first, second, strict=True))]
        if header := _header(task, split):
            lines.insert(0, header)
        (folder / f"{split}.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n", encoding="utf-8")
    return folder


def _header(task: str, split: str) -> Sequence[str]:
    if task == "cola":
        return ["index", "sentence"] if split == "test" else []
    if task == "mrpc":
        return ["index" if split == "test" else "Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    score = [] if split == "test" else ["score"]
    names = ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2"]
    return [*names, *score]


def _row(task: str, split: str, index: int, first: str, second: str) -> Sequence[str]:
    label = str(int(WORDS.index(first.rstrip(".").split()[0]) < len(WORDS) / 2))
    if task == "cola":
        return [str(index), first] if split == "test" else ["tiny", label, "" if label == "1" else "*", first]
    if task == "mrpc":
        return [str(index) if split == "test" else label, "11", "12", first, second]
    shared = set(first.rstrip(".").split()) & set(second.rstrip(".").split())
    score = [] if split == "test" else [f"{min(5.0, 1.25 * len(shared)):.3f}"]
    return [str(index), "main", "tiny", "2012", str(index), "none", "none", first, second, *score]


@pytest.fixture(scope="session")
def tiny_checkpoint(write_checkpoint: Callable[..., Path]) -> Path:
    """Hugging Face folder of a BERT with 2 blocks, 2 heads, hidden 8 and 40 positions."""
    return made_once("train/checkpoint/tiny", lambda path: write_checkpoint(path, VOCABULARY, 2, 2, 8, 12))


@pytest.fixture(scope="session")
def tiny_glue() -> Path:
    """A GLUE folder with CoLA, MRPC and STS-B of 40, 12 and 9 rows each."""

    def write(folder: Path) -> None:
        for task in FOLDERS:
            write_tiny_data(folder, task)

    return made_once("train/glue", write)


@pytest.fixture(scope="session")
def make_experiment(tiny_checkpoint: Path, tiny_glue: Path) -> Callable[..., Experiment]:
    """An experiment on the tiny data; arguments replace its settings."""

    def make(output_dir: Path, **changes: Any) -> Experiment:
        settings: dict[str, Any] = {
            "task": "cola",
            "data_dir": str(tiny_glue),
            "checkpoint_path": str(tiny_checkpoint),
            "output_dir": str(output_dir),
            "epochs": 3,
            "batch_size": 4,
            "max_length": 24,
            "lr_bert": 2e-2,
            "lr_soft_extract": 5e-2,
        }
        return resolve_experiment(settings | changes)

    return make


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run that is done; tests read it and leave it as it is."""

    experiment: Experiment
    folder: Path
    output: str


@pytest.fixture(scope="session")
def run_tiny(make_experiment: Callable[..., Experiment]) -> Callable[..., FinishedRun]:
    """Runs all three phases in this process."""

    def run(output_dir: Path, **changes: Any) -> FinishedRun:
        from power_bert.train.driver import run_experiment

        console = Console(file=io.StringIO(), width=200)
        experiment = make_experiment(output_dir, **changes)
        run_dir = run_experiment(experiment, console=console)
        return FinishedRun(experiment, run_dir.path, console.file.getvalue())  # type: ignore[attr-defined]

    return run


@pytest.fixture(scope="session")
def make_classifier() -> Callable[..., Any]:
    """A classifier with random weights, 2 blocks and VOCABULARY; arguments go to the backbone."""

    def make(labels: Sequence[str] | None = ("0", "1"), max_length: int = 24, **changes: Any) -> Any:
        import keras

        from power_bert.model.backbone import PowerBertBackbone
        from power_bert.model.classifier import PowerBertTextClassifier
        from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer

        keras.utils.set_random_seed(1)
        sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12, "max_sequence_length": 40}
        # Large weights: the outputs of different texts differ clearly.
        backbone = PowerBertBackbone(len(VOCABULARY), **(sizes | {"initializer_range": 0.7} | changes))
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(VOCABULARY), max_length)
        return PowerBertTextClassifier(backbone, len(labels) if labels else 1, preprocessor, labels)

    return make


@pytest.fixture(scope="session")
def cola_run(run_tiny: Callable[..., FinishedRun], make_experiment: Callable[..., Experiment]) -> FinishedRun:
    """The run of all three phases, made once for all processes: it is the slowest fixture."""

    def run(folder: Path) -> None:
        folder.with_name("output.txt").write_text(run_tiny(folder).output, encoding="utf-8")

    folder = made_once("train/cola/run", run)
    return FinishedRun(make_experiment(folder), folder, folder.with_name("output.txt").read_text(encoding="utf-8"))
