"""The losses of distillation: pure functions, one value an example, (batch,), whatever the batch is padded to."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any
_SMALLEST_NORM = 1e-12
_SMALLEST_PROBABILITY = 1e-12


def hard_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with the true classes.

    Args:
        logits: (batch, classes).
        labels: int32 (batch,).
    """
    log_probabilities = ops.log_softmax(logits, axis=-1)
    return -ops.sum(ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype) * log_probabilities, axis=-1)


def squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    """(score − target)², (batch, 1) and (batch,)."""
    return ops.square(scores[:, 0] - targets)


def soft_labels(logits: Tensor, teacher_logits: Tensor, temperature: Tensor | float) -> Tensor:
    """KL(softmax(v / T) ‖ softmax(z / T)) · T² (Hinton et al. 2015, arXiv 1503.02531).

    T² keeps the gradient of the same size whatever the temperature.

    Args:
        logits: z of the student, (batch, classes).
        teacher_logits: v, (batch, classes).
        temperature: T, above 0.
    """
    teacher = ops.log_softmax(teacher_logits / temperature, axis=-1)
    student = ops.log_softmax(logits / temperature, axis=-1)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1) * temperature**2


def logits_mse(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean over the classes of (z − v)² (Ba & Caruana 2014; Tang et al. 2019), (batch, classes) both."""
    return ops.mean(ops.square(logits - teacher_logits), axis=-1)


def hidden_mse(hidden: Tensor, teacher_hidden: Tensor, padding_mask: Tensor) -> Tensor:
    """Mean over words and dimensions of (h − h')² (Jiao et al. 2020, TinyBERT, equation 8).

    Args:
        hidden: of the student, projected to the teacher's width, (batch, length, hidden).
        teacher_hidden: (batch, length, hidden).
        padding_mask: (batch, length), 0 marks padding.
    """
    return _mean_over_words(ops.mean(ops.square(hidden - teacher_hidden), axis=-1), padding_mask)


def hidden_cosine(hidden: Tensor, teacher_hidden: Tensor, padding_mask: Tensor) -> Tensor:
    """Mean over words of 1 − cos(h, h') (Sanh et al. 2019, DistilBERT); arguments as of `hidden_mse`."""
    return _mean_over_words(1.0 - ops.sum(_unit(hidden) * _unit(teacher_hidden), axis=-1), padding_mask)


def attention_mse(attention: Tensor, teacher_attention: Tensor, padding_mask: Tensor) -> Tensor:
    """Mean over pairs of words of (A − A')², both averaged over their heads.

    TinyBERT (equation 7) compares head by head; averaging lets student and teacher differ in their number.

    Args:
        attention: probabilities of the student, (batch, heads, query, key).
        teacher_attention: likewise, with the teacher's heads.
        padding_mask: (batch, length), 0 marks padding.
    """
    difference = ops.mean(attention, axis=1) - ops.mean(teacher_attention, axis=1)
    # Padding receives no attention, so a query's sum over the keys is one over its words.
    words = ops.maximum(ops.sum(ops.cast(padding_mask, difference.dtype), axis=1, keepdims=True), 1.0)
    return _mean_over_words(ops.sum(ops.square(difference), axis=-1) / words, padding_mask)


def attention_kl(attention: Tensor, teacher_attention: Tensor, padding_mask: Tensor) -> Tensor:
    """Mean over queries of KL(A' ‖ A), both averaged over their heads (Wang et al. 2020, MiniLM, equation 2).

    Arguments as of `attention_mse`.
    """
    student, teacher = (
        ops.maximum(ops.mean(values, axis=1), _SMALLEST_PROBABILITY) for values in (attention, teacher_attention)
    )
    return _mean_over_words(ops.sum(teacher * (ops.log(teacher) - ops.log(student)), axis=-1), padding_mask)


def _mean_over_words(values: Tensor, padding_mask: Tensor) -> Tensor:
    """(batch, length) → (batch,), without padding."""
    is_word = ops.cast(padding_mask, values.dtype)
    return ops.sum(values * is_word, axis=1) / ops.maximum(ops.sum(is_word, axis=1), 1.0)


def _unit(vectors: Tensor) -> Tensor:
    squared = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squared, _SMALLEST_NORM))
