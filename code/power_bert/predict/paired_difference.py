"""Score differences of two models on the same examples, with paired bootstrap intervals.

`metrics` defines the scores; the formulas here compute the same scores for many resamples at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from power_bert.predict.metrics import is_defined

CONFIDENCE = 0.95
_RESAMPLES = 2000
# Resamples are drawn in batches of at most this many values, which limits the memory of a large dev set.
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """Bounds of a bootstrap interval, as fractions."""

    low: float
    high: float


def paired_interval(metric: str, labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Interval | None:
    """Compute the percentile interval of the score of `after` minus that of `before`, with a fixed seed.

    Args:
        metric: One of `metrics.METRICS`.
        labels: Class indices or scores, (examples,).
        before: Predictions of one model, (examples,).
        after: Predictions of another model for the same examples, (examples,).

    Returns:
        The interval; None where it is undefined: a single example, or a correlation with constant predictions.
    """
    if len(labels) < 2:
        return None
    score = _SCORES[metric]

    def difference(labels: np.ndarray, before: np.ndarray, after: np.ndarray, axis: int = -1) -> np.ndarray:
        return score(labels, after) - score(labels, before)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant inputs and 0 / 0 come out as NaN
        found = stats.bootstrap(
            (labels, before, after),
            difference,
            n_resamples=_RESAMPLES,
            batch=max(1, _NUMBERS_AT_ONCE // len(labels)),
            vectorized=True,
            paired=True,
            confidence_level=CONFIDENCE,
            method="percentile",  # BCa degenerates where the models agree on nearly every example
            rng=np.random.default_rng(0),
        ).confidence_interval
    return Interval(float(found.low), float(found.high)) if np.isfinite([found.low, found.high]).all() else None


def format_change(before: float | None, after: float | None, interval: Interval | None) -> str:
    """Format the difference of two rounded scores and its interval: `−0.35, 95 % interval −1.10 to +0.40`."""
    if not is_defined(before) or not is_defined(after):
        return "undefined"
    change = _signed(round(100 * after, 2) - round(100 * before, 2))
    if interval is None:
        return change
    return (
        f"{change}, {100 * CONFIDENCE:.0f} % interval {_signed(100 * interval.low)} to {_signed(100 * interval.high)}"
    )


def _signed(points: float) -> str:
    rounded = round(points, 2)
    return f"{rounded:+.2f}".replace("-", "−") if rounded else "±0.00"


# --- Scores of arrays (resamples, examples) ---


@dataclass(frozen=True)
class _Shares:
    """Fractions of the examples by class, each (resamples, classes).

    Attributes:
        hit: Examples of the class that are predicted as such.
        predicted: Examples predicted as the class.
        labeled: Examples labeled as the class.
    """

    hit: np.ndarray
    predicted: np.ndarray
    labeled: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, predictions: np.ndarray) -> _Shares:
        classes = range(int(max(labels.max(), predictions.max(), 1)) + 1)
        are = [(labels == index, predictions == index) for index in classes]
        columns = [(label & said, said, label) for label, said in are]
        return cls(*(np.stack([part.mean(axis=-1) for part in parts], axis=-1) for parts in zip(*columns, strict=True)))

    def f1(self) -> np.ndarray:
        """Return F1 by class, (resamples, classes); NaN for a class that is neither a label nor predicted."""
        with np.errstate(invalid="ignore"):
            return 2 * self.hit / (self.predicted + self.labeled)

    def matthews(self) -> np.ndarray:
        covariance = self.hit.sum(axis=-1) - (self.predicted * self.labeled).sum(axis=-1)
        variances = (1 - (self.predicted**2).sum(axis=-1)) * (1 - (self.labeled**2).sum(axis=-1))
        return np.where(variances > 1e-12, covariance / np.sqrt(np.maximum(variances, 1e-12)), 0.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.asarray(stats.rankdata(values, axis=-1))


def _pearson(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.asarray(stats.pearsonr(labels, predictions, axis=-1).statistic)


_SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "matthews": lambda labels, predictions: _Shares.of(labels, predictions).matthews(),
    "accuracy": lambda labels, predictions: np.mean(labels == predictions, axis=-1),
    "f1": lambda labels, predictions: np.nan_to_num(_Shares.of(labels, predictions).f1()[..., 1]),
    "macro_f1": lambda labels, predictions: np.nanmean(_Shares.of(labels, predictions).f1(), axis=-1),
    "spearman": lambda labels, predictions: _pearson(_ranks(labels), _ranks(predictions)),
    "pearson": _pearson,
}
