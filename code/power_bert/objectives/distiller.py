"""Keras model for distillation: a student with its objective and, for intermediate representations, a teacher."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_states import EncoderStates, cls_states, encoder_states
from power_bert.objectives.objective import Objective, inner_loss, output_loss

Tensor = Any


class Distiller(keras.Model):
    """Model that trains a student on targets of `pack_targets`, and that predicts and is saved as the student.

    Differs from `keras.distillation.Distiller` in four points: the teachers' logits are part of the targets, where they
    come from a cache; there may be several teachers; loss weights may change during training; and the student runs
    only once per training step, even if its intermediate representations are compared.

    Args:
        student: Student to train.
        objective: Loss to minimize.
        total_steps: Number of training steps of the whole training, for the schedules.
        teacher: Encoder whose intermediate representations are compared; None if `objective.inner` is None.
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
        # Wrapped in a closure so that Keras does not track the teacher's weights: they are neither trained nor saved.
        self._teacher = lambda: teacher
        self.projections = self._make_projections(teacher)
        # A weight, so that the compiled training step sees it change on every backend.
        self.updates = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="updates")
        self.built = True

    @property
    def input(self) -> dict[str, Any]:
        """Symbolic inputs of the student."""
        inputs: dict[str, Any] = self.student.input
        return inputs

    def _make_projections(self, teacher: PowerBertBackbone | None) -> list[keras.layers.Dense]:
        """Make one projection of the student's hidden states to the teacher's dimension per pair, if the two differ."""
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
        """Return the logits, (batch, outputs); in training also intermediate representations if they are compared."""
        if self.objective.cls_weight and training:
            states, pooled = cls_states(self.student.backbone, inputs, training)  # (batch, blocks, hidden)
            return {"logits": self.student.logits_of(pooled, training=training), "cls": states}
        if self.objective.inner is None or not training:
            return self.student(inputs, training=training)
        states = encoder_states(self.student.backbone, inputs, training)
        logits = self.student.logits_of(states.pooled, training=training)
        return {"logits": logits, "hidden": states.hidden, "attention": states.attention}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Compute the mean objective of the batch, plus the losses of layers, such as regularizers."""
        progress = ops.cast(self.updates, "float32") / max(self.total_steps - 1, 1)
        inner, teacher = self.objective.inner, self._teacher()
        outputs = y_pred if isinstance(y_pred, dict) else {"logits": y_pred}
        loss = output_loss(self.objective, outputs["logits"], y, progress, outputs.get("cls"))  # (batch,)
        if "hidden" in outputs and inner is not None and teacher is not None:
            own = EncoderStates(tuple(outputs["hidden"]), tuple(outputs["attention"]), None)
            taught = encoder_states(teacher, x, training=False)
            loss = loss + inner_loss(inner, own, taught, self._project, x["padding_mask"], progress)
        if training:
            self.updates.assign_add(1)
        return ops.mean(loss) + sum(self.losses)

    def _project(self, number: int, hidden: Tensor) -> Tensor:
        return self.projections[number](hidden) if self.projections else hidden

    def save_to_preset(self, preset_dir: str) -> None:
        """Save the student."""
        self.student.save_to_preset(preset_dir)
