"""Weights of several teachers per example, (batch, teachers), which sum to one for each example."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

Tensor = Any


def by_confidence(teacher_logits: Tensor) -> Tensor:
    """Weight teachers by confidence: softmax over the teachers of −entropy / ln(classes).

    Args:
        teacher_logits: Logits of the teachers, (batch, teachers, classes).

    Returns:
        Weights, (batch, teachers).
    """
    log_probabilities = ops.log_softmax(teacher_logits, axis=-1)
    entropy = -ops.sum(ops.exp(log_probabilities) * log_probabilities, axis=-1)  # (batch, teachers)
    return ops.softmax(-entropy / math.log(teacher_logits.shape[-1]), axis=-1)


def by_loss(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Weight teachers by their loss: softmax over the teachers of −cross-entropy with the true class.

    Zhang et al. (2022, arXiv 2201.00007) also weight by the loss. Unlabeled examples have equal weights.

    Args:
        teacher_logits: Logits of the teachers, (batch, teachers, classes).
        labels: Class indices, int32 (batch,); −1 for an unlabeled example.

    Returns:
        Weights, (batch, teachers).
    """
    log_probabilities = ops.log_softmax(teacher_logits, axis=-1)
    # The one-hot vector of −1 is zero, so every loss of an unlabeled example is zero.
    truth = ops.one_hot(labels, teacher_logits.shape[-1], dtype=teacher_logits.dtype)  # (batch, classes)
    return ops.softmax(ops.sum(ops.expand_dims(truth, 1) * log_probabilities, axis=-1), axis=-1)


def by_squared_error(scores: Tensor, true_scores: Tensor) -> Tensor:
    """Weight teachers of a regression task by their loss: softmax over the teachers of −(score − true score)².

    Args:
        scores: Scores of the teachers, (batch, teachers).
        true_scores: True scores, (batch,); NaN for an unlabeled example.

    Returns:
        Weights, (batch, teachers).
    """
    is_labeled = true_scores == true_scores  # NaN is unequal to itself
    # NaN is replaced before the computation, because it would otherwise reach the gradient.
    truth = ops.where(is_labeled, true_scores, ops.zeros_like(true_scores))
    errors = ops.square(scores - ops.expand_dims(truth, 1))  # (batch, teachers)
    return ops.softmax(-errors * ops.cast(ops.expand_dims(is_labeled, 1), errors.dtype), axis=-1)
