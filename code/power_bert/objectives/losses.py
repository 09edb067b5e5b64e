"""Distillation losses: pure functions with one value per example, (batch,), whatever the batch is padded to."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any
_SMALLEST_NORM = 1e-12
_SMALLEST_PROBABILITY = 1e-12


def hard_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy with the true classes.

    Args:
        logits: Logits of the student, (batch, classes).
        labels: Class indices, int32 (batch,).

    Returns:
        Loss of each example, (batch,).
    """
    log_probabilities = ops.log_softmax(logits, axis=-1)  # (batch, classes)
    return -ops.sum(ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype) * log_probabilities, axis=-1)


def squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    """Compute the squared error (score − target)² of scores (batch, 1) and targets (batch,): (batch,)."""
    return ops.square(scores[:, 0] - targets)


def soft_labels(logits: Tensor, teacher_logits: Tensor, temperature: Tensor | float) -> Tensor:
    """Compute KL(softmax(v / T) ‖ softmax(z / T)) · T² (Hinton et al. 2015, arXiv 1503.02531).

    The factor T² keeps the scale of the gradient independent of the temperature.

    Args:
        logits: Logits z of the student, (batch, classes).
        teacher_logits: Logits v of the teacher, (batch, classes).
        temperature: Temperature T, above 0.

    Returns:
        Loss of each example, (batch,).
    """
    teacher = ops.log_softmax(teacher_logits / temperature, axis=-1)  # (batch, classes)
    student = ops.log_softmax(logits / temperature, axis=-1)  # (batch, classes)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1) * temperature**2


def logits_mse(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Compute the mean of (z − v)² over the classes (Ba & Caruana 2014; Tang et al. 2019).

    Args:
        logits: Logits z of the student, (batch, classes).
        teacher_logits: Logits v of the teacher, (batch, classes).

    Returns:
        Loss of each example, (batch,).
    """
    return ops.mean(ops.square(logits - teacher_logits), axis=-1)


def hidden_mse(hidden: Tensor, teacher_hidden: Tensor, padding_mask: Tensor) -> Tensor:
    """Compute the mean of (h − h')² over tokens and dimensions (Jiao et al. 2020, TinyBERT, equation 8).

    Args:
        hidden: Hidden states h of the student, projected to the teacher's dimension, (batch, length, hidden).
        teacher_hidden: Hidden states h' of the teacher, (batch, length, hidden).
        padding_mask: Padding mask, (batch, length), 0 for padding.

    Returns:
        Loss of each example, (batch,).
    """
    return _mean_over_tokens(ops.mean(ops.square(hidden - teacher_hidden), axis=-1), padding_mask)


def hidden_cosine(hidden: Tensor, teacher_hidden: Tensor, padding_mask: Tensor) -> Tensor:
    """Compute the mean of 1 − cos(h, h') over tokens (Sanh et al. 2019, DistilBERT).

    Args:
        hidden: Hidden states h of the student, projected to the teacher's dimension, (batch, length, hidden).
        teacher_hidden: Hidden states h' of the teacher, (batch, length, hidden).
        padding_mask: Padding mask, (batch, length), 0 for padding.

    Returns:
        Loss of each example, (batch,).
    """
    return _mean_over_tokens(1.0 - ops.sum(_unit(hidden) * _unit(teacher_hidden), axis=-1), padding_mask)


def attention_mse(attention: Tensor, teacher_attention: Tensor, padding_mask: Tensor) -> Tensor:
    """Compute the mean of (A − A')² over pairs of tokens, with A and A' averaged over their heads.

    TinyBERT (equation 7) compares head by head. Averaging lets the number of heads differ.

    Args:
        attention: Attention probabilities of the student, (batch, heads, query, key).
        teacher_attention: Attention probabilities of the teacher, (batch, teacher heads, query, key).
        padding_mask: Padding mask, (batch, length), 0 for padding.

    Returns:
        Loss of each example, (batch,).
    """
    difference = ops.mean(attention, axis=1) - ops.mean(teacher_attention, axis=1)  # (batch, query, key)
    # Padding receives no attention, so the sum over all keys is the sum over tokens.
    tokens = ops.maximum(ops.sum(ops.cast(padding_mask, difference.dtype), axis=1, keepdims=True), 1.0)  # (batch, 1)
    return _mean_over_tokens(ops.sum(ops.square(difference), axis=-1) / tokens, padding_mask)


def attention_kl(attention: Tensor, teacher_attention: Tensor, padding_mask: Tensor) -> Tensor:
    """Compute the mean of KL(A' ‖ A) over queries, with A and A' averaged over their heads.

    Wang et al. 2020, MiniLM, equation 2, compare head by head.

    Args:
        attention: Attention probabilities A of the student, (batch, heads, query, key).
        teacher_attention: Attention probabilities A' of the teacher, (batch, teacher heads, query, key).
        padding_mask: Padding mask, (batch, length), 0 for padding.

    Returns:
        Loss of each example, (batch,).
    """
    # (batch, query, key)
    student, teacher = (
        ops.maximum(ops.mean(values, axis=1), _SMALLEST_PROBABILITY) for values in (attention, teacher_attention)
    )
    return _mean_over_tokens(ops.sum(teacher * (ops.log(teacher) - ops.log(student)), axis=-1), padding_mask)


def _mean_over_tokens(values: Tensor, padding_mask: Tensor) -> Tensor:
    """Average (batch, length) over the tokens of each example, without padding: (batch,)."""
    is_token = ops.cast(padding_mask, values.dtype)
    return ops.sum(values * is_token, axis=1) / ops.maximum(ops.sum(is_token, axis=1), 1.0)


def _unit(vectors: Tensor) -> Tensor:
    squared = ops.sum(ops.square(vectors), axis=-1, keepdims=True)  # (batch, length, 1)
    return vectors * ops.rsqrt(ops.maximum(squared, _SMALLEST_NORM))
