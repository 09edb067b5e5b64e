"""Tests of power_bert.predict.metrics against computation by hand."""

import math
import warnings

import numpy as np
import pytest

from power_bert.predict.metrics import METRICS, compute_scores, format_scores, is_defined
from power_bert.text.glue_tasks import TASKS

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 1])
PREDICTIONS = np.array([1, 1, 0, 1, 1, 0, 0, 0])  # 3 true and 1 false positive, 2 true and 2 false negatives


def test_classification_by_hand() -> None:
    scores = compute_scores(["matthews", "accuracy", "f1"], LABELS, PREDICTIONS)
    matthews = (3 * 2 - 1 * 2) / math.sqrt((3 + 1) * (3 + 2) * (2 + 1) * (2 + 2))
    assert scores == pytest.approx({"matthews": matthews, "accuracy": 5 / 8, "f1": 2 * 3 / (2 * 3 + 1 + 2)})
    assert list(scores) == ["matthews", "accuracy", "f1"], "the order that was asked for"
    assert all(type(score) is float for score in scores.values())


def test_matthews_of_constant_predictions_is_zero_as_in_glue() -> None:
    assert compute_scores(["matthews"], LABELS, np.ones(8, dtype=np.int64)) == {"matthews": 0.0}


@pytest.mark.parametrize(("predictions", "score"), [(LABELS, 1.0), (1 - LABELS, -1.0)])
def test_matthews_at_its_ends(predictions: np.ndarray, score: float) -> None:
    assert compute_scores(["matthews"], LABELS, predictions)["matthews"] == pytest.approx(score)


def test_correlations_by_hand() -> None:
    labels, predictions = np.array([0.0, 1.0, 2.0, 5.0, 2.0]), np.array([0.5, 0.4, 3.0, 4.0, 3.5])
    # Ranks, ties share their mean: 1 2 3.5 5 3.5 and 2 1 3 5 4.
    ranks = np.array([1, 2, 3.5, 5, 3.5]), np.array([2, 1, 3, 5, 4])

    def correlation(left: np.ndarray, right: np.ndarray) -> float:
        left, right = left - left.mean(), right - right.mean()
        return float(left @ right / math.sqrt((left @ left) * (right @ right)))

    scores = compute_scores(["spearman", "pearson"], labels, predictions)
    assert scores == pytest.approx({"spearman": correlation(*ranks), "pearson": correlation(labels, predictions)})


def test_correlation_of_constant_predictions_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = compute_scores(["spearman", "pearson"], np.array([1.0, 2.0, 3.0]), np.full(3, 2.5))
    assert all(math.isnan(score) for score in scores.values())


def test_undefined_scores_are_named() -> None:
    assert format_scores({"spearman": math.nan, "pearson": None, "f1": 0.85624}) == (
        "spearman undefined  pearson undefined  f1 85.62"
    )
    assert [is_defined(score) for score in (0.0, -1.0, math.nan, None)] == [True, True, False, False]


def test_every_metric_of_every_task_is_there() -> None:
    assert {name for task in TASKS.values() for name in task.metrics} <= set(METRICS)
