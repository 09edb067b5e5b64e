"""Examples of a task: texts with class indices or scores, from any source. A bad row stops the reading."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from power_bert.errors import UserError, shorten
from power_bert.text.row_readers import CHUNK_ROWS, REMEDY, RawRows
from power_bert.text.sources import open_source
from power_bert.text.targets import are_hidden, parse_targets
from power_bert.text.task import SPLITS, Split, Task


@dataclass(frozen=True)
class Examples:
    """Examples of a split, in the order of its source.

    Attributes:
        first: First (or only) sentences, (examples,).
        second: Second sentences, (examples,); None for a task on single sentences.
        labels: (examples,); int64 class indices, or float64 scores for regression; None where the source has none, as
            GLUE's test files.
    """

    first: list[str]
    second: list[str] | None
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
        """The examples at these positions, in this order."""
        return Examples(
            first=[self.first[row] for row in rows],
            second=None if self.second is None else [self.second[row] for row in rows],
            labels=None if self.labels is None else self.labels[rows],
        )


def read_examples(task: Task, split: Split, data_dir: str | Path) -> Examples:
    """Reads a split as a whole; see `stream_examples`."""
    chunks = list(stream_examples(task, split, data_dir))
    return Examples(
        first=[text for chunk in chunks for text in chunk.first],
        second=[text for chunk in chunks for text in chunk.second or ()] if task.is_pair else None,
        labels=None if chunks[0].labels is None else np.concatenate([chunk.labels for chunk in chunks]),
    )


def read_training_examples(task: Task, data_dir: str | Path, at_most: int | None) -> Examples:
    """Reads the training split, or `at_most` of its examples: a random choice, always the same, in their order."""
    examples = read_examples(task, "train", data_dir)
    if at_most is None or at_most >= len(examples):
        return examples
    return examples.take(np.sort(np.random.default_rng(0).permutation(len(examples))[:at_most]))


def stream_examples(task: Task, split: Split, data_dir: str | Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[Examples]:
    """Reads a split chunk by chunk: memory does not grow with the data.

    Args:
        task: The task.
        split: "train", "dev" or "test".
        data_dir: The task's folder (`…/CoLA`), or a GLUE folder with one folder a task.
        chunk_rows: Examples of a chunk, at most.

    Yields:
        Consecutive examples, one or more.

    Raises:
        UserError: The data are missing, or a row is not as the task's layout says.
        ValueError: `split` is none of the three.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {SPLITS}")
    chunks = open_source(data_dir).rows(task, split, chunk_rows)
    for rows in _without_hidden_labels(task, chunks) if split == "test" else chunks:
        yield _to_examples(task, rows)


def count_examples(task: Task, split: Split, data_dir: str | Path) -> int:
    """Reads and checks a split without holding it; returns its number of examples."""
    return sum(len(chunk) for chunk in stream_examples(task, split, data_dir))


def has_split(task: Task, split: Split, data_dir: str | Path) -> bool:
    """Whether there are data of a split; only the test split of a task of the user may be missing in a run."""
    return open_source(data_dir).has(task, split)


def scored_split(task: Task, data_dir: str | Path) -> Split:
    """The split that says most about a finished model: test where it has labels, else dev."""
    if has_split(task, "test", data_dir) and next(stream_examples(task, "test", data_dir)).labels is not None:
        return "test"
    return "dev"


def data_fingerprint(task: Task, data_dir: str | Path) -> dict[str, str]:
    """Name of each part of the data -> its sha256 or version: what must be the same for the same run."""
    return open_source(data_dir).fingerprint(task)


def _without_hidden_labels(task: Task, chunks: Iterator[RawRows]) -> Iterator[RawRows]:
    """Leave out the labels of test data where all are -1 or empty, as others export GLUE's."""
    is_hidden: bool | None = None
    for rows in chunks:
        if rows.targets is None:
            yield rows
            continue
        if is_hidden is None:
            is_hidden = are_hidden(task, rows.targets)
        if is_hidden and not are_hidden(task, rows.targets):
            row = next(row for row, target in enumerate(rows.targets) if not are_hidden(task, [target]))
            raise UserError(
                f"{rows.where(row)}: label {shorten(repr(rows.targets[row]), 80)}, but the rows before it have none "
                "(-1). Expected labels in all rows of the test data or in none."
            )
        yield replace(rows, targets=None) if is_hidden else rows


def _to_examples(task: Task, rows: RawRows) -> Examples:
    # Official data are whole; those of a user can have more labels than the training data, which decide otherwise.
    remedy = REMEDY if task.rows or task.is_regression else "Correct the line, or set LABELS to all labels of the data."
    labels = None if rows.targets is None else parse_targets(task, rows.targets, rows.where, remedy)
    return Examples(rows.texts[0], rows.texts[1] if len(rows.texts) > 1 else None, labels)
