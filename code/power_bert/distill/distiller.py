"""The model that training sees: a student, what it is to learn, and, where asked for, a teacher's encoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.distill.objective import Objective, inner_loss, output_loss
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_states import EncoderStates, encoder_states

Tensor = Any


class Distiller(keras.Model):
    """Trains a student on targets of `pack_targets`; predicts and is saved as the student.

    Differs from `keras.distillation.Distiller` in taking the teachers' logits from the targets, where they come from
    a cache, in any number of teachers, in weights that change in the course of the training, and in running the
    student once an update even where its inner states are compared.

    Args:
        student: what is trained.
        objective: what is minimised.
        total_steps: updates of the whole training, for the schedules.
        teacher: encoder whose inner states are compared; None where `objective.inner` is.
    """

    def __init__(
        self,
        student: PowerBertTextClassifier,
        objective: Objective,
        total_steps: int,
        teacher: PowerBertBackbone | None = None,
    ) -> None:
        super().__init__(name="distiller")
        self.student, self.objective, self.total_steps = student, objective, total_steps
        # In a function Keras does not look for weights: the teacher's are neither trained nor saved with the student's.
        self._teacher = lambda: teacher
        self.projections = self._make_projections(teacher)
        # A weight, so that on every backend the update that is compiled sees it change.
        self.updates = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="updates")
        self.built = True

    @property
    def input(self) -> dict[str, Any]:
        """The student's symbolic inputs."""
        inputs: dict[str, Any] = self.student.input
        return inputs

    def _make_projections(self, teacher: PowerBertBackbone | None) -> list[keras.layers.Dense]:
        """Linear maps of the student's hidden states to the teacher's width, one a pair; none where none is needed."""
        inner = self.objective.inner
        if inner is None or teacher is None or not inner.compares_hidden:
            return []
        if self.student.backbone.hidden_dim == teacher.hidden_dim:
            return []
        layers = [
            keras.layers.Dense(teacher.hidden_dim, use_bias=False, name=f"projection_{number}")
            for number in range(len(inner.layer_map))
        ]
        for layer in layers:
            layer.build((None, None, self.student.backbone.hidden_dim))
        return layers

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Any:
        """The student's logits; in training with its inner states where the objective compares them."""
        if self.objective.inner is None or not training:
            return self.student(inputs, training=training)
        states = encoder_states(self.student.backbone, inputs, training)
        logits = self.student.logits_of(states.pooled, training=training)
        return {"logits": logits, "hidden": states.hidden, "attention": states.attention}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The objective's mean over the batch, and the student's regularisers."""
        progress = ops.cast(self.updates, "float32") / max(self.total_steps - 1, 1)
        inner, teacher = self.objective.inner, self._teacher()
        if inner is None or teacher is None or not isinstance(y_pred, dict):
            loss = output_loss(self.objective, y_pred, y, progress)
        else:
            loss = output_loss(self.objective, y_pred["logits"], y, progress)
            own = EncoderStates(tuple(y_pred["hidden"]), tuple(y_pred["attention"]), None)
            taught = encoder_states(teacher, x, training=False)
            loss = loss + inner_loss(inner, own, taught, self._project, x["padding_mask"], progress)
        if training:
            self.updates.assign_add(1)
        return ops.mean(loss) + sum(self.student.losses)

    def _project(self, number: int, hidden: Tensor) -> Tensor:
        return self.projections[number](hidden) if self.projections else hidden

    def save_to_preset(self, preset_dir: str) -> None:
        """Saves the student."""
        self.student.save_to_preset(preset_dir)
