"""How much each of several teachers counts on an example: (batch, teachers), a sum of one an example."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

Tensor = Any


def by_confidence(teacher_logits: Tensor) -> Tensor:
    """The surer a teacher, the more it counts: softmax over the teachers of −entropy / ln(classes).

    Args:
        teacher_logits: (batch, teachers, classes).
    """
    log_probabilities = ops.log_softmax(teacher_logits, axis=-1)
    entropy = -ops.sum(ops.exp(log_probabilities) * log_probabilities, axis=-1)
    return ops.softmax(-entropy / math.log(teacher_logits.shape[-1]), axis=-1)


def by_loss(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """The better a teacher knows the true class, the more it counts: softmax over the teachers of −cross-entropy.

    Zhang et al. (2022, arXiv 2201.00007) weigh by the loss too. Where there is no label, all count alike.

    Args:
        teacher_logits: (batch, teachers, classes).
        labels: int32 (batch,), −1 where there is none.
    """
    log_probabilities = ops.log_softmax(teacher_logits, axis=-1)
    # The one-hot vector of −1 is zero, and so is then every loss.
    truth = ops.one_hot(labels, teacher_logits.shape[-1], dtype=teacher_logits.dtype)
    return ops.softmax(ops.sum(ops.expand_dims(truth, 1) * log_probabilities, axis=-1), axis=-1)


def by_squared_error(scores: Tensor, true_scores: Tensor) -> Tensor:
    """As `by_loss`, for scores: softmax over the teachers of −(score − true score)².

    Args:
        scores: (batch, teachers).
        true_scores: (batch,), NaN where there is none.
    """
    is_labelled = true_scores == true_scores  # NaN is unequal to itself
    # NaN is put out of the way before it is computed with: it would come back in the gradient.
    truth = ops.where(is_labelled, true_scores, ops.zeros_like(true_scores))
    errors = ops.square(scores - ops.expand_dims(truth, 1))
    return ops.softmax(-errors * ops.cast(ops.expand_dims(is_labelled, 1), errors.dtype), axis=-1)
