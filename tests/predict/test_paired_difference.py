"""Tests of power_bert.predict.paired_difference."""

import numpy as np
import pytest

from power_bert.predict.metrics import METRICS
from power_bert.predict.paired_difference import _SCORES, Interval, format_change, paired_interval


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_many_resamples_are_those_of_the_metrics(metric: str, classes: int) -> None:
    if metric == "f1" and classes > 2:
        classes = 2
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, (40, 17))
    predictions = np.where(generator.random(labels.shape) < 0.5, labels, generator.integers(0, classes, labels.shape))
    expected = [METRICS[metric](*row) for row in zip(labels, predictions, strict=True)]
    np.testing.assert_allclose(_SCORES[metric](labels, predictions), expected, atol=1e-12)


@pytest.mark.parametrize("metric", ["matthews", "f1", "macro_f1"])
@pytest.mark.parametrize(("label", "prediction"), [(0, 0), (1, 1), (0, 1), (1, 0)])
def test_one_class_alone(metric: str, label: int, prediction: int) -> None:
    labels, predictions = np.full((1, 3), label), np.full((1, 3), prediction)
    with np.errstate(all="raise"):
        found = _SCORES[metric](labels, predictions)
    assert found == pytest.approx(METRICS[metric](labels[0], predictions[0]))


@pytest.fixture
def models() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and predictions of which 90 % and 70 % are right."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 400)
    right = [generator.permutation(400) < count for count in (360, 280)]
    return labels, *(np.where(is_right, labels, 1 - labels) for is_right in right)


def test_interval_of_a_share_is_that_of_the_normal_distribution(
    models: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, before, after = models
    found = paired_interval("accuracy", labels, before, after)
    changes = (after == labels).astype(float) - (before == labels)
    half = 1.96 * changes.std() / np.sqrt(400)
    assert found is not None and changes.mean() == pytest.approx(-0.2)
    assert (found.low, found.high) == pytest.approx((-0.2 - half, -0.2 + half), abs=0.005)


@pytest.mark.parametrize("metric", METRICS)
def test_it_is_the_same_at_every_call_and_around_the_difference(
    metric: str, models: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    labels, before, after = models
    found = paired_interval(metric, *models)
    difference = METRICS[metric](labels, after) - METRICS[metric](labels, before)
    assert found is not None and found.low < difference < found.high < 0 and found == paired_interval(metric, *models)


def test_equal_predictions_differ_by_nothing(models: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    for metric in METRICS:
        assert paired_interval(metric, models[0], models[1], models[1].copy()) == Interval(0.0, 0.0)


def test_what_has_no_interval() -> None:
    labels = np.array([0.0, 1.0, 2.5, 4.0])
    assert paired_interval("spearman", labels, labels, np.ones(4)) is None
    assert paired_interval("accuracy", np.array([1]), np.array([1]), np.array([0])) is None


def test_text() -> None:
    assert format_change(0.5483, 0.5164, Interval(-0.06, 0.001)) == "−3.19, 95 % interval −6.00 to +0.10"
    assert format_change(0.5, 0.5, None) == "±0.00"
    assert format_change(None, 0.5, Interval(0, 0)) == format_change(0.5, float("nan"), None) == "undefined"
