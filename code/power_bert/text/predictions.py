"""Prediction files in GLUE's format: `index<TAB>prediction`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from power_bert.errors import UserError, shorten
from power_bert.storage.files import atomic_file, read_lines
from power_bert.text.row_readers import REMEDY
from power_bert.text.targets import format_classes, format_score_targets, parse_targets
from power_bert.text.task import Task

HEADER = ("index", "prediction")


def write_predictions(path: str | Path, task: Task, predictions: np.ndarray) -> None:
    """Write a prediction file atomically: `index<TAB>prediction`, index from 0, LF.

    Args:
        path: Path of the file.
        task: Task of the predictions.
        predictions: Class indices (integers, written as label strings) or scores, (examples,), in the order of the
            data. Scores of STS-B are clipped to [0, 5] and written with 3 decimals.

    Raises:
        UserError: A score is NaN or infinite.
        ValueError: The shape or type is wrong, or a class index is out of range.
    """
    write_prediction_chunks(path, task, [predictions])


def write_prediction_chunks(path: str | Path, task: Task, chunks: Iterable[np.ndarray]) -> None:
    """Write predictions in chunks like `write_predictions`, without holding all of them in memory."""
    with atomic_file(path) as file:
        file.writelines(prediction_lines(path, task, chunks))


def prediction_lines(path: str | Path, task: Task, chunks: Iterable[np.ndarray]) -> Iterator[bytes]:
    """Yield the lines of a prediction file, with line ends, from chunks of predictions, each (examples,)."""
    yield ("\t".join(HEADER) + "\n").encode()
    index = 0
    for predictions in chunks:
        for string in _strings(path, task, np.asarray(predictions), index):
            yield f"{index}\t{string}\n".encode()
            index += 1


def _strings(path: str | Path, task: Task, predictions: np.ndarray, first_index: int) -> list[str]:
    """Format predictions, (examples,), as the strings of a prediction file."""
    if predictions.ndim != 1 or len(predictions) == 0:
        raise ValueError(f"expected predictions of shape (examples,), at least one; got {predictions.shape}")
    if task.labels is not None:
        return format_classes(task.labels, predictions)
    bad = np.flatnonzero(~np.isfinite(predictions))
    if len(bad):
        raise UserError(
            f"{path}: not written: the prediction of index {first_index + bad[0]} is {predictions[bad[0]]}. "
            "Expected finite scores: the training diverged; lower the learning rate and train again."
        )
    return format_score_targets(task, predictions)


def read_predictions(path: str | Path, task: Task) -> np.ndarray:
    """Read a prediction file that `write_predictions` wrote.

    Returns:
        Class indices (int64), or scores (float64) for a regression, (examples,).

    Raises:
        UserError: The header, the order of the indices, a label or a score is wrong.
    """
    rows = [line.split("\t") for line in read_lines(path)]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(HEADER):
            raise UserError(f"{path}, line {number}: expected 2 columns separated by tabs, found {len(row)}. {REMEDY}")
    if tuple(rows[0]) != HEADER:
        found = shorten(rows[0])
        raise UserError(f"{path}, line 1: expected the header 'index<TAB>prediction', found {found}. {REMEDY}")
    if len(rows) == 1:
        raise UserError(f"{path}: no predictions after the header. Predict again to write the file anew.")
    for position, row in enumerate(rows[1:]):
        if row[0] != str(position):
            raise UserError(
                f"{path}, line {position + 2}: expected index {position}, found {shorten(repr(row[0]), 40)}: "
                "indices count from 0 in the order of the examples. Predict again to write the file anew."
            )
    return parse_targets(task, [row[1] for row in rows[1:]], lambda row: f"{path}, line {row + 2}", REMEDY)
