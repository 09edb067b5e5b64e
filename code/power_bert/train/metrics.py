"""GLUE's dev metrics, computed by scikit-learn and SciPy from predictions that were written to a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

# name → function(labels, predictions); scores are fractions, not percent.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "matthews": sklearn_metrics.matthews_corrcoef,
    "accuracy": sklearn_metrics.accuracy_score,
    "f1": sklearn_metrics.f1_score,
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


def format_scores(scores: dict[str, float]) -> str:
    """Scores in percent, as shown to the user: ``f1 85.62  accuracy 78.43``."""
    return "  ".join(f"{name} {value * 100:.2f}" for name, value in scores.items())
