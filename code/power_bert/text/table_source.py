"""Data source: one table of the user's own, split into train, dev and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from power_bert.errors import UserError, shorten
from power_bert.storage.files import file_sha256
from power_bert.text.row_readers import CHUNK_ROWS, RawRows, read_rows
from power_bert.text.task import SPLITS, ColumnLayout, Split, Task

# Of ten rows, one is for dev and one for test.
_PERIOD = 10
_PLACES: dict[Split, int] = {"dev": 1, "test": 6}
# With fewer different texts, dev and test have one row each, or none.
_FEWEST_TEXTS = 20


@dataclass(frozen=True)
class TableSplit:
    """Which row of a table belongs to which split.

    Attributes:
        of_row: Index into SPLITS of each row, (rows,).
        repeated: Number of rows whose text an earlier row has.
        repeat: The first of these rows, in words; "" for none.
        contradicting: A text with several labels, with its first two rows and their labels, in words; "" for none.
        contradictions: Number of texts with several labels.
    """

    of_row: np.ndarray
    repeated: int
    repeat: str
    contradicting: str
    contradictions: int

    def count(self, split: Split) -> int:
        return int((self.of_row == SPLITS.index(split)).sum())


class TableSource:
    """One table with a header, whose rows are split 80 : 10 : 10, the same at every call.

    The split is drawn with a fixed seed and in proportion to the labels. Rows with the same text stay together, and the
    first text of each label is for training.

    Args:
        path: Path of the table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, task: Task, split: Split) -> bool:
        """Return whether the split exists, which it always does."""
        return True

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """Read the rows of one split."""
        of_row, start = self.split(task).of_row, 0
        for rows in read_rows(self.path, _layout(task), chunk_rows):
            chosen = np.flatnonzero(of_row[start : start + len(rows.numbers)] == SPLITS.index(split))
            start += len(rows.numbers)
            if len(chosen):
                yield _take(rows, chosen)

    def fingerprint(self, task: Task) -> dict[str, str]:
        """Return the name of the file → its sha256."""
        return {self.path.name: file_sha256(self.path)}

    def split(self, task: Task) -> TableSplit:
        """Split the rows of the table.

        Raises:
            UserError: The table is damaged, lacks a column, or has too few different texts.
        """
        if not self.path.is_file():
            raise UserError(f"{self.path}: no such file. Give DATA_DIR (--data-dir) the path of the data")
        status = self.path.stat()
        return _split(self.path, _layout(task), task.is_regression, (status.st_mtime_ns, status.st_size))


def describe_table(source: TableSource, task: Task) -> Iterator[str]:
    """Yield lines for the user: the columns in use, the split, and rows that repeat or contradict others."""
    split = source.split(task)
    yield f"{source.path.name}: one file, so TASK={task.name}; {describe_columns(task)}"
    counts = [f"{split.count(name):,} {'training' if name == 'train' else name}" for name in SPLITS]
    yield (
        f"{source.path.name}: split into {counts[0]}, {counts[1]} and {counts[2]} rows, in proportion to the labels "
        "and the same in every run; files train, dev and test in a folder make a split of your own"
    )
    if split.repeated:
        repeat = "row repeats" if split.repeated == 1 else "rows repeat"
        yield (
            f"{split.repeated:,} {repeat} the text of an earlier row, such as {split.repeat}; rows with the same text "
            "are in one split"
        )
    if split.contradictions:
        have = "text has" if split.contradictions == 1 else "texts have"
        yield (
            f"warning: {split.contradictions:,} {have} several labels, such as {split.contradicting}; no model can be "
            "right on all rows with the same text"
        )


def describe_columns(task: Task) -> str:
    """Return which columns of the user's own data are in use, and how to choose others."""
    layout = task.train_layout
    return (
        f"texts from column {' and '.join(map(repr, layout.text_columns))}, labels from {layout.label_column!r} "
        "(TEXT_COLUMNS and LABEL_COLUMN choose others)"
    )


def _layout(task: Task) -> ColumnLayout:
    """Return the columns of all rows, which are those of training data."""
    return task.train_layout


def _take(rows: RawRows, chosen: np.ndarray) -> RawRows:
    def take(column: Sequence[str]) -> list[str]:
        return [column[row] for row in chosen]

    numbers = [rows.numbers[row] for row in chosen]
    targets = None if rows.targets is None else take(rows.targets)
    return RawRows(rows.source, numbers, tuple(take(column) for column in rows.texts), targets, rows.unit)


@lru_cache(maxsize=4)
def _split(path: Path, layout: ColumnLayout, is_regression: bool, state: tuple[int, int]) -> TableSplit:
    """Split a table; `state` makes a changed file be read again."""
    first_row: dict[bytes, int] = {}  # digest of a text → index of its group
    groups: list[int] = []
    labels: list[str] = []
    places: list[int] = []
    repeat, contradicting, contradictory = "", "", set()
    for rows in read_rows(path, layout, CHUNK_ROWS):
        for row, texts in enumerate(zip(*rows.texts, strict=True)):
            label = "" if rows.targets is None else rows.targets[row]
            group = first_row.setdefault(_digest(texts), len(first_row))
            if group == len(labels):
                labels.append(label)
                places.append(rows.numbers[row])
            else:
                repeat = (
                    repeat or f"line {rows.numbers[row]} that of line {places[group]} ({shorten(repr(texts[0]), 60)})"
                )
            if label != labels[group]:
                where = f"line {places[group]}: {shorten(labels[group], 40)}; line {rows.numbers[row]}: "
                contradicting = contradicting or f"{shorten(repr(texts[0]), 60)} ({where}{shorten(label, 40)})"
                contradictory.add(group)
            groups.append(group)
    if len(labels) < _FEWEST_TEXTS:
        raise UserError(
            f"{path}: {len(labels)} different texts are too few to learn from and to score on: at least "
            f"{_FEWEST_TEXTS} are needed, and some hundreds for a useful model. Add rows"
        )
    of_group = _split_groups(np.zeros(len(labels)) if is_regression else np.unique(labels, return_inverse=True)[1])
    of_row = of_group[groups]
    return TableSplit(of_row, len(groups) - len(labels), repeat, contradicting, len(contradictory))


def _digest(texts: tuple[str, ...]) -> bytes:
    return hashlib.blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16).digest()


def _split_groups(labels: np.ndarray) -> np.ndarray:
    """Return the index into SPLITS for each label, (groups,): shuffled, sorted by label, and every tenth taken."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    ordered = shuffled[np.argsort(labels[shuffled], kind="stable")]
    is_first = np.diff(labels[ordered], prepend=-1) != 0
    others = ordered[~is_first]
    splits = np.full(len(labels), SPLITS.index("train"), np.int8)
    for split, place in _PLACES.items():
        splits[others[place::_PERIOD]] = SPLITS.index(split)
    return splits
