"""From names, weights and schedules to one loss.

For each example, with α, T and all weights as they are at the moment of the training:

    loss = α · hard + (1 − α) · Σ_t w_t · soft_t  +  β_hidden · hidden + β_cosine · cosine + β_attention · attention

Without a label an example has α = 0; without a teacher, α = 1. The w_t of the teachers add up to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from power_bert.distill import losses
from power_bert.distill.schedules import Schedule
from power_bert.distill.teacher_weights import by_confidence, by_loss, by_squared_error
from power_bert.model.encoder_states import EncoderStates

Tensor = Any
NO_CLASS = -1.0


@dataclass(frozen=True)
class InnerObjective:
    """The part of the loss that looks inside student and teacher.

    Attributes:
        hidden: weight of `losses.hidden_mse`.
        cosine: weight of `losses.hidden_cosine`.
        attention: weight of the attention loss.
        attention_loss: "mse" or "kl".
        layer_map: pairs of the student's and the teacher's block, from 1; hidden states also know 0, the embeddings.
    """

    hidden: Schedule
    cosine: Schedule
    attention: Schedule
    attention_loss: str
    layer_map: tuple[tuple[int, int], ...]

    @property
    def compares_hidden(self) -> bool:
        """Whether hidden states ever count."""
        return self.hidden.largest > 0 or self.cosine.largest > 0

    @property
    def attention_pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of which both are blocks: embeddings have no attention. None where attention never counts."""
        if self.attention.largest <= 0:
            return ()
        return tuple((own, other) for own, other in self.layer_map if own > 0 and other > 0)


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        num_outputs: classes, or 1 for a score.
        num_teachers: 0 trains on labels alone.
        alpha: weight of the true labels; 1 − α is that of the teachers.
        temperature: of soft labels.
        loss: "kl" (soft labels) or "mse" (logits); scores are always compared by their squared difference.
        weighting: of the teachers: "equal", "given", "confidence" or "loss".
        given_weights: of weighting "given": one a teacher.
        inner: None where outputs alone are compared.
    """

    num_outputs: int
    num_teachers: int
    alpha: Schedule
    temperature: Schedule
    loss: str
    weighting: str = "equal"
    given_weights: tuple[float, ...] = field(default=())
    inner: InnerObjective | None = None

    @property
    def is_regression(self) -> bool:
        return self.num_outputs == 1


def pack_targets(labels: np.ndarray, teacher_logits: Sequence[np.ndarray]) -> np.ndarray:
    """Labels and teachers' logits as one float32 array (examples, 1 + teachers · outputs), as training carries them.

    Args:
        labels: (examples,): classes or scores; −1 or NaN where an example has none.
        teacher_logits: of each teacher, (examples, outputs).
    """
    return np.concatenate([labels[:, None], *teacher_logits], axis=1).astype(np.float32)


def output_loss(objective: Objective, logits: Tensor, targets: Tensor, progress: Tensor) -> Tensor:
    """The part of the loss that compares outputs: (batch,).

    Args:
        objective: what is minimised.
        logits: of the student, (batch, outputs).
        targets: of `pack_targets`, (batch, 1 + teachers · outputs).
        progress: 0 at the first update, 1 at the last.
    """
    labels = targets[:, 0]
    is_labelled = labels == labels if objective.is_regression else labels >= 0  # NaN is unequal to itself
    hard = _hard_loss(objective, logits, ops.where(is_labelled, labels, ops.zeros_like(labels)))
    if objective.num_teachers == 0:
        return hard
    teachers = ops.reshape(targets[:, 1:], (-1, objective.num_teachers, objective.num_outputs))
    soft = ops.stack(
        [_soft_loss(objective, logits, teachers[:, number], progress) for number in range(objective.num_teachers)],
        axis=1,
    )
    soft = ops.sum(_weights_of_teachers(objective, teachers, labels) * soft, axis=1)
    alpha = objective.alpha(progress) * ops.cast(is_labelled, soft.dtype)
    return alpha * hard + (1.0 - alpha) * soft


def inner_loss(
    objective: InnerObjective,
    student: EncoderStates,
    teacher: EncoderStates,
    project: Any,
    padding_mask: Tensor,
    progress: Tensor,
) -> Tensor:
    """The part of the loss that compares inner states, each term averaged over the pairs that have it: (batch,).

    Args:
        objective: its weights and its layer map.
        student: its inner states.
        teacher: likewise.
        project: (number of the pair, hidden states of the student) → hidden states of the teacher's width.
        padding_mask: (batch, length).
        progress: 0 at the first update, 1 at the last.
    """
    compare_attention = losses.attention_mse if objective.attention_loss == "mse" else losses.attention_kl
    total = 0.0
    if objective.compares_hidden:
        for number, (own, other) in enumerate(objective.layer_map):
            pair = (project(number, student.hidden[own]), teacher.hidden[other], padding_mask)
            term = objective.hidden(progress) * losses.hidden_mse(*pair)
            term += objective.cosine(progress) * losses.hidden_cosine(*pair)
            total += term / len(objective.layer_map)
    for own, other in objective.attention_pairs:
        attention = compare_attention(student.attention[own - 1], teacher.attention[other - 1], padding_mask)
        total += objective.attention(progress) * attention / len(objective.attention_pairs)
    return total


def _hard_loss(objective: Objective, logits: Tensor, labels: Tensor) -> Tensor:
    if objective.is_regression:
        return losses.squared_error(logits, labels)
    return losses.hard_labels(logits, ops.cast(labels, "int32"))


def _soft_loss(objective: Objective, logits: Tensor, teacher_logits: Tensor, progress: Tensor) -> Tensor:
    if objective.is_regression or objective.loss == "mse":
        return losses.logits_mse(logits, teacher_logits)
    return losses.soft_labels(logits, teacher_logits, objective.temperature(progress))


def _weights_of_teachers(objective: Objective, teachers: Tensor, labels: Tensor) -> Tensor:
    """(batch, teachers) or (teachers,)."""
    if objective.weighting == "confidence":
        return by_confidence(teachers)
    if objective.weighting == "loss":
        if objective.is_regression:
            return by_squared_error(teachers[:, :, 0], labels)
        return by_loss(teachers, ops.cast(labels, "int32"))
    given = objective.given_weights if objective.weighting == "given" else (1.0,) * objective.num_teachers
    return ops.convert_to_tensor([weight / sum(given) for weight in given], "float32")
