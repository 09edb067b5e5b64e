"""Combine the distillation losses, by their weights and schedules, into one objective.

For each example, with α, T and all weights at their current value:

    loss = α · hard + (1 − α) · (Σ_t w_t · soft_t + β_cls · cls)
           +  β_hidden · hidden + β_cosine · cosine + β_attention · attention

An example without a label has α = 0. Without a teacher, or if a teacher of `Objective.conditional` labels the example
wrongly, α = 1. The weights w_t of the teachers sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops

from power_bert.config.values import Schedule
from power_bert.model.encoder_states import EncoderStates
from power_bert.objectives import losses
from power_bert.objectives.teacher_weights import by_confidence, by_loss, by_squared_error
from power_bert.objectives.weight_schedules import scheduled

Tensor = Any
NO_CLASS = -1.0


@dataclass(frozen=True)
class InnerObjective:
    """Part of the objective that compares intermediate representations of student and teacher.

    Attributes:
        hidden: Weight of `losses.hidden_mse`.
        cosine: Weight of `losses.hidden_cosine`.
        attention: Weight of the attention loss.
        attention_loss: Attention loss, "mse" or "kl".
        layer_map: Pairs (student block, teacher block), counted from 1; 0 is the embeddings, for hidden states only.
    """

    hidden: Schedule
    cosine: Schedule
    attention: Schedule
    attention_loss: str
    layer_map: tuple[tuple[int, int], ...]

    @property
    def compares_hidden(self) -> bool:
        """Whether the weight of a loss on hidden states is ever above zero."""
        return self.hidden.largest > 0 or self.cosine.largest > 0

    @property
    def attention_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of two blocks, because embeddings have no attention; empty if the attention weight is always zero."""
        if self.attention.largest <= 0:
            return ()
        return tuple((own, other) for own, other in self.layer_map if own > 0 and other > 0)


@dataclass(frozen=True)
class Objective:
    """Distillation objective to minimize.

    Attributes:
        num_outputs: Number of classes; 1 for a regressor.
        num_teachers: Number of teachers; 0 trains only on labels.
        alpha: Weight α of the true labels; the teachers have weight 1 − α.
        temperature: Temperature T of the soft labels.
        loss: Loss on the outputs: "kl" (soft labels) or "mse" (logits). Scores are always compared by squared error.
        weighting: Weighting of the teachers: "equal", "given", "confidence" or "loss".
        given_weights: One weight per teacher, for weighting "given".
        inner: Objective on intermediate representations; None compares only outputs.
        cls_weight: Weight β_cls of the squared error of the ``[CLS]`` states, which then are part of the targets.
        conditional: Whether the only teacher of a classifier counts just for the examples that it labels correctly, and
            for those without a label (conditional teacher-student learning, Meng et al. 2019, arXiv 1904.12399).
    """

    num_outputs: int
    num_teachers: int
    alpha: Schedule
    temperature: Schedule
    loss: str
    weighting: str = "equal"
    given_weights: tuple[float, ...] = field(default=())
    inner: InnerObjective | None = None
    cls_weight: float = 0.0
    conditional: bool = False

    @property
    def is_regression(self) -> bool:
        return self.num_outputs == 1


def pack_targets(labels: np.ndarray, teacher_outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Pack labels and teacher outputs into one array of targets.

    Args:
        labels: Classes or scores, (examples,); −1 or NaN for an unlabeled example.
        teacher_outputs: Logits of each teacher, (examples, outputs); with `Objective.cls_weight` of one teacher, whose
            ``[CLS]`` states follow its logits, (examples, outputs + blocks · hidden).

    Returns:
        Targets, float32 (examples, 1 + all columns of `teacher_outputs`).
    """
    return np.concatenate([labels[:, None], *teacher_outputs], axis=1).astype(np.float32)


def output_loss(
    objective: Objective, logits: Tensor, targets: Tensor, progress: Tensor, states: Tensor | None = None
) -> Tensor:
    """Compute the loss on the outputs and on the ``[CLS]`` states.

    Args:
        objective: Objective to minimize.
        logits: Logits of the student, (batch, outputs).
        targets: Targets of `pack_targets`, (batch, 1 + teachers · outputs …).
        progress: Progress of the training: 0 at the first training step, 1 at the last.
        states: ``[CLS]`` states of the student after each block, (batch, blocks, hidden); None does not compare them.

    Returns:
        Loss of each example, (batch,).
    """
    labels = targets[:, 0]  # (batch,)
    is_labeled = labels == labels if objective.is_regression else labels >= 0  # NaN is unequal to itself
    hard = _hard_loss(objective, logits, ops.where(is_labeled, labels, ops.zeros_like(labels)))
    if objective.num_teachers == 0:
        return hard
    soft_targets = targets[:, 1 : 1 + objective.num_teachers * objective.num_outputs]
    teachers = ops.reshape(soft_targets, (-1, objective.num_teachers, objective.num_outputs))
    # (batch, teachers)
    soft = ops.stack(
        [_soft_loss(objective, logits, teachers[:, number], progress) for number in range(objective.num_teachers)],
        axis=1,
    )
    taught = ops.sum(_weights_of_teachers(objective, teachers, labels) * soft, axis=1)  # (batch,)
    if states is not None:
        taught = taught + objective.cls_weight * _cls_loss(objective, states, targets)
    alpha = scheduled(objective.alpha, progress) * ops.cast(is_labeled, taught.dtype)
    if objective.conditional:
        is_correct = ops.equal(ops.cast(ops.argmax(teachers[:, 0], axis=-1), labels.dtype), labels)  # (batch,)
        alpha = ops.where(ops.logical_or(is_correct, ops.logical_not(is_labeled)), alpha, ops.ones_like(alpha))
    return alpha * hard + (1.0 - alpha) * taught


def inner_loss(
    objective: InnerObjective,
    student: EncoderStates,
    teacher: EncoderStates,
    project: Any,
    padding_mask: Tensor,
    progress: Tensor,
) -> Tensor:
    """Compute the loss on intermediate representations; each term is averaged over its pairs of layers.

    Args:
        objective: Weights and layer map.
        student: Intermediate representations of the student.
        teacher: Intermediate representations of the teacher.
        project: Function (index of the pair, hidden states of the student) → hidden states in the teacher's dimension.
        padding_mask: Padding mask, (batch, length).
        progress: Progress of the training: 0 at the first training step, 1 at the last.

    Returns:
        Loss of each example, (batch,).
    """
    compare_attention = losses.attention_mse if objective.attention_loss == "mse" else losses.attention_kl
    total = 0.0
    if objective.compares_hidden:
        for number, (own, other) in enumerate(objective.layer_map):
            pair = (project(number, student.hidden[own]), teacher.hidden[other], padding_mask)
            term = scheduled(objective.hidden, progress) * losses.hidden_mse(*pair)
            term += scheduled(objective.cosine, progress) * losses.hidden_cosine(*pair)
            total += term / len(objective.layer_map)
    for own, other in objective.attention_pairs:
        attention = compare_attention(student.attention[own - 1], teacher.attention[other - 1], padding_mask)
        total += scheduled(objective.attention, progress) * attention / len(objective.attention_pairs)
    return total


def _hard_loss(objective: Objective, logits: Tensor, labels: Tensor) -> Tensor:
    if objective.is_regression:
        return losses.squared_error(logits, labels)
    return losses.hard_labels(logits, ops.cast(labels, "int32"))


def _soft_loss(objective: Objective, logits: Tensor, teacher_logits: Tensor, progress: Tensor) -> Tensor:
    if objective.is_regression or objective.loss == "mse":
        return losses.logits_mse(logits, teacher_logits)
    return losses.soft_labels(logits, teacher_logits, scheduled(objective.temperature, progress))


def _cls_loss(objective: Objective, states: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean squared error of the ``[CLS]`` states over blocks and dimensions, (batch,)."""
    taught = ops.reshape(targets[:, 1 + objective.num_outputs :], ops.shape(states))  # (batch, blocks, hidden)
    return ops.mean(ops.square(states - taught), axis=(1, 2))


def _weights_of_teachers(objective: Objective, teachers: Tensor, labels: Tensor) -> Tensor:
    """Compute the weights of the teachers, (batch, teachers) or (teachers,)."""
    if objective.weighting == "confidence":
        return by_confidence(teachers)
    if objective.weighting == "loss":
        if objective.is_regression:
            return by_squared_error(teachers[:, :, 0], labels)
        return by_loss(teachers, ops.cast(labels, "int32"))
    given = objective.given_weights if objective.weighting == "given" else (1.0,) * objective.num_teachers
    return ops.convert_to_tensor([weight / sum(given) for weight in given], "float32")
