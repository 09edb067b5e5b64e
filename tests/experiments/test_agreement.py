"""Calibration error and agreement, by hand."""

import numpy as np
import pytest

from power_bert.experiments.agreement import equal_labels, expected_calibration_error, mean_cosine


def test_calibration_error() -> None:
    probabilities = np.array([[0.9, 0.1], [0.92, 0.08], [0.4, 0.6], [0.0, 1.0]])
    labels = np.array([0, 1, 1, 1])
    # 0.9 and 0.92 share a bin: accuracy 0.5, confidence 0.91. 0.6 and 1.0 have one each and are right.
    assert expected_calibration_error(probabilities, labels) == pytest.approx((2 * 0.41 + 0.4 + 0.0) / 4)


def test_a_calibrated_model_has_no_error() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0.0
    assert expected_calibration_error(np.full((4, 2), 0.5), np.array([0, 0, 1, 1])) == pytest.approx(0.0)


def test_agreement() -> None:
    one, other = np.array([[0.6, 0.4], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.7, 0.3]])
    assert equal_labels(one, other) == 0.5 and equal_labels(one, one) == 1.0
    cosines = [0.56 / np.sqrt(0.52 * 0.68), 0.38 / np.sqrt(0.68 * 0.58)]
    assert mean_cosine(one, other) == pytest.approx(np.mean(cosines))
    assert mean_cosine(one, one) == pytest.approx(1.0)
