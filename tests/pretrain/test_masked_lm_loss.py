"""Tests of power_bert.pretrain.masked_lm_loss, by value and by gradient."""

from typing import Any

import keras
import numpy as np
import pytest

from power_bert.pretrain.masked_lm_loss import masked_lm_counts, masked_lm_loss

BATCH, PREDICTIONS, VOCABULARY = 3, 5, 7


@pytest.fixture
def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (BATCH, PREDICTIONS, VOCABULARY)).astype("float32")
    labels = generator.integers(0, VOCABULARY, (BATCH, PREDICTIONS)).astype("int32")
    weights = np.ones((BATCH, PREDICTIONS), "float32")
    weights[1, 3:] = weights[2] = 0
    return logits, labels, weights


def reference(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy and probabilities in float64."""
    exponents = np.exp(logits.astype(np.float64))
    probabilities = exponents / exponents.sum(-1, keepdims=True)
    return -np.log(np.take_along_axis(probabilities, labels[..., None], -1))[..., 0], probabilities


def test_value(example: Any) -> None:
    logits, labels, weights = example
    expected = (reference(logits, labels)[0] * weights).sum() / (BATCH * PREDICTIONS)
    assert float(masked_lm_loss(*example)) == pytest.approx(expected, abs=1e-6)


def test_the_mean_over_parts_is_that_of_the_whole(example: Any) -> None:
    parts = [float(masked_lm_loss(*(array[row : row + 1] for array in example))) for row in range(BATCH)]
    assert float(masked_lm_loss(*example)) == pytest.approx(np.mean(parts), abs=1e-6)


def test_gradient(example: Any) -> None:
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        pytest.skip("the gradient is taken with TensorFlow")
    logits, labels, weights = example
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = masked_lm_loss(tensor, labels, weights)
    expected = reference(logits, labels)[1] - np.eye(VOCABULARY)[labels]
    expected *= weights[..., None] / (BATCH * PREDICTIONS)
    assert np.abs(tape.gradient(loss, tensor).numpy() - expected).max() < 1e-6


def test_counts(example: Any) -> None:
    logits, labels, weights = example
    loss, right, weight = np.asarray(keras.ops.convert_to_numpy(masked_lm_counts(*example)))
    assert weight == 8
    assert loss == pytest.approx((reference(logits, labels)[0] * weights).sum(), abs=1e-5)
    assert right == ((logits.argmax(-1) == labels) * weights).sum()
