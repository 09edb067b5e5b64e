"""Loss and evaluation counts of masked language modeling, as pure functions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


def masked_lm_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Compute the cross-entropy of the masked tokens, Σ w · −log p(label) / (batch · predictions).

    The divisor does not depend on the weights. The mean over the parts of a batch, on several devices or in sequence,
    is therefore exactly the loss of the batch. Weights are 0 only if a record has too few tokens to mask.

    Args:
        logits: Logits, float32 (batch, predictions, vocabulary).
        labels: Token ids, int32 (batch, predictions).
        weights: 0 or 1, float32 (batch, predictions).

    Returns:
        Loss, float32 scalar.
    """
    return ops.mean(_cross_entropy(logits, labels) * weights)


def masked_lm_counts(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum the cross-entropy, the right predictions and the weights over a batch.

    Args:
        logits: Logits, float32 (batch, predictions, vocabulary).
        labels: Token ids, int32 (batch, predictions).
        weights: 0 or 1, float32 (batch, predictions).

    Returns:
        The three sums, float32 (3,).
    """
    # (batch, predictions)
    is_right = ops.cast(ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32")), "float32")
    return ops.stack([ops.sum(values * weights) for values in (_cross_entropy(logits, labels), is_right, 1.0)])


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy: (batch, predictions, vocabulary) and (batch, predictions) → (batch, predictions)."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_logical_devices("GPU"):
            return _fused_cross_entropy(logits, labels)
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def _fused_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy with one operation for value and gradient, which is deterministic on a CPU.

    With deterministic operations enabled, TensorFlow decomposes it as on a GPU. Each of the parts is then a pass over
    the logits, the largest tensor of the training.
    """
    import tensorflow as tf

    rows = ops.reshape(logits, (-1, logits.shape[-1]))  # (batch · predictions, vocabulary)
    loss, _ = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=rows, labels=ops.reshape(labels, (-1,)))
    return ops.reshape(loss, ops.shape(labels))
