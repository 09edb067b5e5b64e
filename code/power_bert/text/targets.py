"""Conversion of labels and scores between strings and arrays."""

import math
import re
from collections.abc import Callable

import numpy as np

from power_bert.errors import UserError, shorten
from power_bert.text.task import Task

# float() alone would also accept "1_0", " 1" and digits of other scripts.
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


# Hidden labels in exports of GLUE by Hugging Face and TensorFlow Datasets, and empty cells.
_HIDDEN = {"-1", "-1.0", ""}


def are_hidden(task: Task, strings: list[str]) -> bool:
    """Return whether all labels or scores of test data, (rows,), are hidden and none is a label of the task."""
    return _HIDDEN.issuperset(strings) and not set(strings).intersection(task.labels or ())


def parse_targets(task: Task, strings: list[str], where: Callable[[int], str], remedy: str) -> np.ndarray:
    """Convert labels to int64 class indices, or scores to float64.

    Args:
        task: Task of the labels or scores.
        strings: Labels or scores, (rows,).
        where: Function from a row to its position, for messages.
        remedy: What to do about a bad row, for messages.

    Returns:
        Class indices or scores, (rows,).

    Raises:
        UserError: A label is not one of the task's, or a score is no number or out of range.
    """
    if task.labels is None:
        return _parse_scores(task.score_range, strings, where, remedy)
    indices = {label: index for index, label in enumerate(task.labels)}
    classes = [indices.get(string, -1) for string in strings]
    if -1 in classes:
        row = classes.index(-1)
        raise UserError(
            f"{where(row)}: unknown label {shorten(repr(strings[row]), 80)}. "
            f"Expected one of: {shorten(', '.join(task.labels))} (the labels of {task.name}). {remedy}"
        )
    return np.array(classes, dtype=np.int64)


def format_score_targets(task: Task, scores: np.ndarray) -> list[str]:
    """Format finite scores, (rows,): clipped to the task's range with 3 decimals, or 6 digits without a range."""
    scores = scores.astype(np.float64)
    if task.score_range is None:
        return [f"{score:.6g}" for score in scores + 0.0]
    # Adding 0 turns -0.0 into 0.0, so that "-0.000" is never written.
    return [f"{score:.3f}" for score in np.clip(scores, *task.score_range) + 0.0]


def format_classes(labels: tuple[str, ...], classes: np.ndarray) -> list[str]:
    """Convert class indices, (rows,), to label strings.

    Raises:
        ValueError: The indices are no integers, or out of range.
    """
    if not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"expected class indices of an integer type, got {classes.dtype}")
    if classes.min() < 0 or classes.max() >= len(labels):
        raise ValueError(f"expected class indices from 0 to {len(labels) - 1}, got {classes.min()} to {classes.max()}")
    return [labels[index] for index in classes]


def _parse_scores(
    score_range: tuple[float, float] | None, strings: list[str], where: Callable[[int], str], remedy: str
) -> np.ndarray:
    lowest, highest = score_range or (-math.inf, math.inf)
    scores = np.array([float(string) if NUMBER.fullmatch(string) else math.nan for string in strings], np.float64)
    good = np.isfinite(scores) & (scores >= lowest) & (scores <= highest)
    if not good.all():
        row = int(np.argmin(good))
        expected = "a number" if score_range is None else f"a number from {lowest:g} to {highest:g}"
        raise UserError(f"{where(row)}: score {shorten(repr(strings[row]), 80)}. Expected {expected}. {remedy}")
    return scores
