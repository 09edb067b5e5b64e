"""How far a classifier's probabilities can be trusted, and how far they are those of another."""

from __future__ import annotations

import numpy as np

BINS = 15


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Σ_b n_b / n · |accuracy_b − confidence_b| over 15 bins of equal width (Guo et al. 2017, equation 3).

    Args:
        probabilities: (examples, classes).
        labels: (examples,), the true classes.
    """
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    # Bins are open at their lower end, as in the paper: a confidence of 1 belongs to the last.
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=is_right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def equal_labels(probabilities: np.ndarray, others: np.ndarray) -> float:
    """Share of examples to which both give the same class; (examples, classes) both."""
    return float(np.mean(probabilities.argmax(axis=1) == others.argmax(axis=1)))


def mean_cosine(probabilities: np.ndarray, others: np.ndarray) -> float:
    """Mean cosine similarity of the probabilities of an example; (examples, classes) both."""
    norms = np.linalg.norm(probabilities, axis=1) * np.linalg.norm(others, axis=1)
    return float(np.mean((probabilities * others).sum(axis=1) / norms))
