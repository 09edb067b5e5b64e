"""Calibration of a classifier's probabilities, and their agreement with those of another."""

from __future__ import annotations

import numpy as np

BINS = 15


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return Σ_b n_b / n · |accuracy_b − confidence_b| over 15 bins of equal width (Guo et al. 2017, equation 3).

    Args:
        probabilities: Predicted probabilities, (examples, classes).
        labels: True classes, (examples,).
    """
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    # Bins are open at their lower end, as in the paper: a confidence of 1 belongs to the last.
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=is_right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def equal_labels(probabilities: np.ndarray, others: np.ndarray) -> float:
    """Return the label agreement: the fraction of examples with the same predicted class; both (examples, classes)."""
    return float(np.mean(probabilities.argmax(axis=1) == others.argmax(axis=1)))


def mean_cosine(probabilities: np.ndarray, others: np.ndarray) -> float:
    """Return the mean over examples of the cosine similarity of their probabilities; both (examples, classes)."""
    from sklearn.metrics.pairwise import paired_cosine_distances

    return float(1 - paired_cosine_distances(probabilities, others).mean())
