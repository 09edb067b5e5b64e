"""GLUE's dev metrics, computed by scikit-learn and SciPy from predictions that were written to a file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

from power_bert.text.task import Task

# Metric name to function(labels, predictions). Scores are fractions, not percent.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "matthews": sklearn_metrics.matthews_corrcoef,
    "accuracy": sklearn_metrics.accuracy_score,
    "f1": sklearn_metrics.f1_score,
    "macro_f1": lambda labels, predictions: sklearn_metrics.f1_score(labels, predictions, average="macro"),
    "spearman": lambda labels, predictions: stats.spearmanr(labels, predictions).statistic,
    "pearson": lambda labels, predictions: stats.pearsonr(labels, predictions).statistic,
}


def compute_scores(names: Sequence[str], labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Compute scores by name, in the order of `names`.

    A correlation with constant predictions is undefined and returned as NaN.

    Args:
        names: Keys of `METRICS`.
        labels: Class indices or scores, (examples,).
        predictions: Predicted class indices or scores, (examples,).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return {name: float(METRICS[name](labels, predictions)) for name in names}


def metrics_to_compare(task: Task) -> tuple[str, ...]:
    """Return the task's own metrics, and accuracy and macro F1 for a classification task."""
    return task.metrics if task.is_regression else tuple(dict.fromkeys((*task.metrics, "accuracy", "macro_f1")))


def is_defined(score: float | None) -> TypeGuard[float]:
    """Return whether a score is defined; an undefined one is NaN in memory and null (None) in a JSON file."""
    return score is not None and math.isfinite(score)


def format_score(score: float | None) -> str:
    """Format a score in percent, or as "undefined"."""
    return f"{100 * score:.2f}" if is_defined(score) else "undefined"


def format_scores(scores: Mapping[str, float | None]) -> str:
    """Format scores in percent: ``f1 85.62  accuracy 78.43``."""
    return "  ".join(f"{name} {format_score(score)}" for name, score in scores.items())


def format_agreement(fraction: float | None, is_regression: bool) -> str:
    """Format the agreement of two models: ``label agreement 99.40 %``.

    Args:
        fraction: Fraction of equal labels, or correlation of the scores of a regression task; None or NaN if undefined.
        is_regression: Whether the models predict scores.
    """
    value = f"{format_score(fraction)} %" if is_defined(fraction) else "undefined"
    return f"{'correlation of scores' if is_regression else 'label agreement'} {value}"
