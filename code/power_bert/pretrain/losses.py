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
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
