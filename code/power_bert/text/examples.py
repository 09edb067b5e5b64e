"""Examples of a task from any source: texts with class indices or scores. A bad row stops the reading."""

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
    """Examples of a split, in the order of their source.

    Attributes:
        first: First (or only) texts, (examples,).
        second: Second texts, (examples,); None for a task on single texts.
        labels: Class indices (int64) or scores (float64), (examples,); None if the source has none, such as GLUE's
            test files.
    """

    first: list[str]
    second: list[str] | None
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
        """Return the examples at these positions, in this order."""
        return Examples(
            first=[self.first[row] for row in rows],
            second=None if self.second is None else [self.second[row] for row in rows],
            labels=None if self.labels is None else self.labels[rows],
        )


def concatenate(parts: Sequence[Examples]) -> Examples:
    """Concatenate the texts of all parts, without labels."""
    is_pair = parts[0].second is not None
    return Examples(
        [text for part in parts for text in part.first],
        [text for part in parts for text in part.second or ()] if is_pair else None,
        None,
    )


def read_examples(task: Task, split: Split, data_dir: str | Path) -> Examples:
    """Read all examples of a split, with the arguments and errors of `stream_examples`."""
    chunks = list(stream_examples(task, split, data_dir))
    return Examples(
        first=[text for chunk in chunks for text in chunk.first],
        second=[text for chunk in chunks for text in chunk.second or ()] if task.is_pair else None,
        labels=None if chunks[0].labels is None else np.concatenate([chunk.labels for chunk in chunks]),
    )


def read_training_examples(task: Task, data_dir: str | Path, at_most: int | None) -> Examples:
    """Read the training split, or a fixed random subset of `at_most` examples in their order."""
    examples = read_examples(task, "train", data_dir)
    if at_most is None or at_most >= len(examples):
        return examples
    return examples.take(np.sort(np.random.default_rng(0).permutation(len(examples))[:at_most]))


def stream_examples(task: Task, split: Split, data_dir: str | Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[Examples]:
    """Read a split in chunks, so that memory does not grow with the data.

    Args:
        task: Task of the data.
        split: "train", "dev" or "test".
        data_dir: The task's folder (`…/CoLA`), a GLUE folder with one folder per task, or `tfds:NAME`.
        chunk_rows: Largest number of examples per chunk.

    Yields:
        One or more consecutive examples.

    Raises:
        UserError: The data are missing, or a row does not match the layout of the task.
        ValueError: `split` is not a split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {SPLITS}")
    chunks = open_source(data_dir).rows(task, split, chunk_rows)
    for rows in _without_hidden_labels(task, chunks) if split == "test" else chunks:
        yield _to_examples(task, rows)


def count_examples(task: Task, split: Split, data_dir: str | Path) -> int:
    """Read and check a split without holding it in memory; return its number of examples."""
    return sum(len(chunk) for chunk in stream_examples(task, split, data_dir))


def has_split(task: Task, split: Split, data_dir: str | Path) -> bool:
    """Return whether a split has data; in a run, only the test split of a custom task may be missing."""
    return open_source(data_dir).has(task, split)


def scored_split(task: Task, data_dir: str | Path) -> Split:
    """Return the split for scoring a finished model: test if it has labels, else dev."""
    if has_split(task, "test", data_dir) and next(stream_examples(task, "test", data_dir)).labels is not None:
        return "test"
    return "dev"


def data_fingerprint(task: Task, data_dir: str | Path) -> dict[str, str]:
    """Return the name of each part of the data → its sha256 or version, which must not change within a run."""
    return open_source(data_dir).fingerprint(task)


def _without_hidden_labels(task: Task, chunks: Iterator[RawRows]) -> Iterator[RawRows]:
    """Drop the labels of test data if all are -1 or empty, as in other exports of GLUE."""
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
    # Official data has no unknown labels. Data of a user can, because the labels are those of its training split.
    remedy = REMEDY if task.rows or task.is_regression else "Correct the line, or set LABELS to all labels of the data."
    labels = None if rows.targets is None else parse_targets(task, rows.targets, rows.where, remedy)
    return Examples(rows.texts[0], rows.texts[1] if len(rows.texts) > 1 else None, labels)
