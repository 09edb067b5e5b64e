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

# name → function(labels, predictions); scores are fractions, not percent.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "matthews": sklearn_metrics.matthews_corrcoef,
    "accuracy": sklearn_metrics.accuracy_score,
    "f1": sklearn_metrics.f1_score,
    "macro_f1": lambda labels, predictions: sklearn_metrics.f1_score(labels, predictions, average="macro"),
    "spearman": lambda labels, predictions: stats.spearmanr(labels, predictions).statistic,
    "pearson": lambda labels, predictions: stats.pearsonr(labels, predictions).statistic,
}


def compute_scores(names: Sequence[str], labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Scores by name, in the order of `names`.

    A correlation of constant predictions is undefined: it comes out as NaN, never as an invented number.

    Args:
        names: keys of METRICS.
        labels: (examples,), class indices or scores.
        predictions: (examples,), likewise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return {name: float(METRICS[name](labels, predictions)) for name in names}


def metrics_to_compare(task: Task) -> tuple[str, ...]:
    """The task's own metrics; accuracy and macro F1 as well where it has classes."""
    return task.metrics if task.is_regression else tuple(dict.fromkeys((*task.metrics, "accuracy", "macro_f1")))


def is_defined(score: float | None) -> TypeGuard[float]:
    """Whether a score is a number; an undefined one is NaN in memory and null (None) in a JSON file."""
    return score is not None and math.isfinite(score)


def format_score(score: float | None) -> str:
    """A score in percent, or the word "undefined"."""
    return f"{100 * score:.2f}" if is_defined(score) else "undefined"


def format_scores(scores: Mapping[str, float | None]) -> str:
    """Scores in percent, as shown to the user: ``f1 85.62  accuracy 78.43``."""
    return "  ".join(f"{name} {format_score(score)}" for name, score in scores.items())


def format_agreement(share: float | None, is_regression: bool) -> str:
    """How far two models agree, in words: ``label agreement 99.40 %``.

    Args:
        share: share of equal labels, or, of a regression, the correlation of the scores; None or NaN: undefined.
        is_regression: whether the models give scores.
    """
    value = f"{format_score(share)} %" if is_defined(share) else "undefined"
    return f"{'correlation of scores' if is_regression else 'label agreement'} {value}"
