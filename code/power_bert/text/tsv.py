"""GLUE files: examples in, predictions out and in again. Strict: a bad row stops the reading, none is skipped."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from power_bert.errors import UserError
from power_bert.files import atomic_write_text, read_lines
from power_bert.text.glue_tasks import Layout, Split, Task

MAX_SCORE = 5.0
_PREDICTION_HEADER = ["index", "prediction"]
# float() alone would also take "1_0", " 1" and digits of other scripts.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_REMEDY = "Correct the line or download the file again."


@dataclass(frozen=True)
class Examples:
    """A split of a task, in the order of its file.

    Attributes:
        first: First (or only) sentences, (examples,).
        second: Second sentences, (examples,); None for a task on single sentences.
        labels: (examples,); int64 class indices, or float64 scores for regression; None for the test split.
    """

    first: list[str]
    second: list[str] | None
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.first)


def read_examples(task: Task, split: Split, data_dir: str | Path) -> Examples:
    """Reads `<split>.tsv` of a task.

    Quoting is off: a quotation mark is a character and only a tab separates columns.

    Args:
        task: The task.
        split: "train", "dev" or "test".
        data_dir: The task's folder (`…/CoLA`), or a GLUE folder with one folder a task.

    Raises:
        UserError: The folder or file is missing, or a line is not as the task's layout says.
        ValueError: `split` is none of the three.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}; expected one of {get_args(Split)}")
    path = _find_file(task, split, Path(data_dir))
    layout = task.layout(split)
    header, rows = _read_table(path, layout)
    text_columns = [_column(path, header, column) for column in layout.text_columns]
    if layout.index_column is not None:
        _column(path, header, layout.index_column)
    labels = None
    if layout.label_column is not None:
        column = _column(path, header, layout.label_column)
        labels = _parse_targets(path, task, [row[column] for row in rows], first_line=2 if layout.has_header else 1)
    texts = [[row[column] for row in rows] for column in text_columns]
    return Examples(first=texts[0], second=texts[1] if len(texts) > 1 else None, labels=labels)


def write_predictions(path: str | Path, task: Task, predictions: np.ndarray) -> None:
    """Writes a prediction file in GLUE's form: `index<TAB>prediction`, index from 0, LF; atomically.

    Args:
        path: The file to write.
        task: The task.
        predictions: (examples,), in the order of the examples' file; class indices (an integer type), written as
            label strings, or scores, written clipped to [0, 5] with 3 decimals.

    Raises:
        UserError: A score is NaN or infinite.
        ValueError: A wrong shape or type, or a class index out of range.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 1 or len(predictions) == 0:
        raise ValueError(f"expected predictions of shape (examples,), at least one; got {predictions.shape}")
    strings = _format_scores(path, predictions) if task.labels is None else _format_classes(task.labels, predictions)
    lines = ["\t".join(_PREDICTION_HEADER), *(f"{index}\t{string}" for index, string in enumerate(strings))]
    atomic_write_text(path, "\n".join(lines) + "\n")


def read_predictions(path: str | Path, task: Task) -> np.ndarray:
    """Reads a prediction file of `write_predictions`.

    Returns:
        (examples,): int64 class indices, or float64 scores for regression.

    Raises:
        UserError: The header, the order of the indices, a label or a score is not as expected.
    """
    path = Path(path)
    rows = _split_lines(path, read_lines(path), num_columns=len(_PREDICTION_HEADER))
    if rows[0] != _PREDICTION_HEADER:
        raise UserError(f"{path}, line 1: expected the header 'index<TAB>prediction', found {rows[0]}. {_REMEDY}")
    if len(rows) == 1:
        raise UserError(f"{path}: no predictions after the header. Predict again to write the file anew.")
    for position, row in enumerate(rows[1:]):
        if row[0] != str(position):
            raise UserError(
                f"{path}, line {position + 2}: expected index {position}, found {row[0]!r}: "
                "indices count from 0 in the order of the examples. Predict again to write the file anew."
            )
    return _parse_targets(path, task, [row[1] for row in rows[1:]], first_line=2)


def task_folder(task: Task, data_dir: str | Path) -> Path:
    """The folder with the task's files: `data_dir` itself, or the task's folder inside a GLUE folder."""
    inside = Path(data_dir) / task.folder
    return inside if inside.is_dir() else Path(data_dir)


def _find_file(task: Task, split: Split, data_dir: Path) -> Path:
    path = task_folder(task, data_dir) / f"{split}.tsv"
    remedy = f"Expected {path}: put the GLUE files of {task.name} there or set DATA_DIR to the folder that has them."
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such folder. {remedy}")
    if not path.exists():
        raise UserError(f"{path}: no such file. {remedy}")
    return path


def _read_table(path: Path, layout: Layout) -> tuple[list[str], list[list[str]]]:
    """Returns the header (empty where the layout has none) and the rows, all with the same number of columns."""
    lines = read_lines(path)
    if not layout.has_header:
        return [], _split_lines(path, lines, layout.num_columns)
    header, *rows = _split_lines(path, lines, num_columns=None)
    if not rows:
        raise UserError(f"{path}: no rows after the header. Expected at least one; download the file again.")
    return header, rows


def _split_lines(path: Path, lines: list[str], num_columns: int | None) -> list[list[str]]:
    """Splits at tabs; every line must have `num_columns` columns (None: as many as the first line)."""
    rows = [line.split("\t") for line in lines]
    expected = len(rows[0]) if num_columns is None else num_columns
    if any(len(row) != expected for row in rows):
        line, found = next((i, len(row)) for i, row in enumerate(rows, start=1) if len(row) != expected)
        raise UserError(f"{path}, line {line}: expected {expected} columns separated by tabs, found {found}. {_REMEDY}")
    return rows


def _column(path: Path, header: list[str], column: str | int) -> int:
    """The position of a column, given by its header name or already as a position."""
    if isinstance(column, int):
        return column
    if header.count(column) != 1:
        problem = "no column" if column not in header else "more than one column"
        raise UserError(
            f"{path}, line 1: {problem} named {column!r}. Expected it once in the header, which has: "
            f"{', '.join(map(repr, header))}. Correct the header or download the file again."
        )
    return header.index(column)


def _parse_targets(path: Path, task: Task, strings: list[str], first_line: int) -> np.ndarray:
    """Labels to int64 class indices, scores to float64; `first_line` is the file's line of the first string."""
    if task.labels is None:
        scores = [_parse_score(string) for string in strings]
        if None in scores:
            line = scores.index(None)
            raise UserError(
                f"{path}, line {first_line + line}: score {strings[line]!r}. "
                f"Expected a number from 0 to {MAX_SCORE:g}. {_REMEDY}"
            )
        return np.array(scores, dtype=np.float64)
    indices = {label: index for index, label in enumerate(task.labels)}
    classes = [indices.get(string, -1) for string in strings]
    if -1 in classes:
        line = classes.index(-1)
        raise UserError(
            f"{path}, line {first_line + line}: unknown label {strings[line]!r}. "
            f"Expected one of: {', '.join(task.labels)}. {_REMEDY}"
        )
    return np.array(classes, dtype=np.int64)


def _parse_score(string: str) -> float | None:
    """A score in [0, 5], or None where the string is none."""
    if not _NUMBER.fullmatch(string):
        return None
    score = float(string)
    return score if math.isfinite(score) and 0.0 <= score <= MAX_SCORE else None


def _format_scores(path: str | Path, scores: np.ndarray) -> list[str]:
    scores = scores.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise UserError(
            f"{path}: not written: the prediction of index {bad[0]} is {scores[bad[0]]} ({len(bad)} of {len(scores)} "
            "are not finite). Expected finite scores: the training diverged; lower the learning rate and train again."
        )
    # Adding 0 turns -0.0, which would be written as "-0.000", into 0.0.
    return [f"{score:.3f}" for score in np.clip(scores, 0.0, MAX_SCORE) + 0.0]


def _format_classes(labels: tuple[str, ...], classes: np.ndarray) -> list[str]:
    if not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"expected class indices of an integer type, got {classes.dtype}")
    if classes.min() < 0 or classes.max() >= len(labels):
        raise ValueError(f"expected class indices from 0 to {len(labels) - 1}, got {classes.min()} to {classes.max()}")
    return [labels[index] for index in classes]
