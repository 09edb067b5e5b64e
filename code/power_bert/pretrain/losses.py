"""The loss of masked language modelling and what an evaluation counts. Pure functions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


def masked_lm_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of the masked tokens, Σ w · −log p(label) / (batch · predictions).

    The divisor does not depend on the weights: the mean over the parts of a batch, on several devices or one after the
    other, is then exactly the loss of the batch. Weights are 0 only where a record has too few tokens to mask.

    Args:
        logits: float32 (batch, predictions, vocabulary).
        labels: int32 (batch, predictions).
        weights: float32 (batch, predictions), 0 or 1.

    Returns:
        float32 scalar.
    """
    return ops.mean(_cross_entropy(logits, labels) * weights)


def masked_lm_counts(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum of the cross-entropy, of the right predictions and of the weights: float32 (3,)."""
    is_right = ops.cast(ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32")), "float32")
    return ops.stack([ops.sum(values * weights) for values in (_cross_entropy(logits, labels), is_right, 1.0)])


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_logical_devices("GPU"):
            return _fused_cross_entropy(logits, labels)
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def _fused_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """One operation for value and gradient, deterministic on a CPU.

    Asked to be deterministic, TensorFlow takes it apart, as on a GPU; over a vocabulary, each part is a pass through
    the largest tensor of the training.
    """
    import tensorflow as tf

    rows = ops.reshape(logits, (-1, logits.shape[-1]))
    loss, _ = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=rows, labels=ops.reshape(labels, (-1,)))
    return ops.reshape(loss, ops.shape(labels))
