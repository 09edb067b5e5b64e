"""How important each attention head and feed-forward neuron is: the gradient of its gate over training examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_block import UnitGates

Tensor = Any


@dataclass(frozen=True)
class Importance:
    """Importance of the units of one block.

    Attributes:
        heads: Importance of each attention head, (heads,).
        neurons: Importance of each feed-forward neuron, (neurons,).
    """

    heads: np.ndarray
    neurons: np.ndarray


class GatedClassifier(keras.Model):
    """Classifier that `fit` leaves unchanged, while it adds up how important the units of each block are.

    The importance of a unit is Σ |∂loss/∂gate| over the examples (Michel et al. 2019, section 5), where the gate, which
    is 1, multiplies the output of the unit. The absolute value is that of each example: every example has gates of its
    own, and they are all that the gradient is computed of. For neurons, 512 examples rank better than gradients summed
    over each of 60 batches of 32 (docs/results/elimination.md).

    Args:
        classifier: Classifier, with or without token elimination; its weights are frozen.
        batch_size: Most examples in a batch.
    """

    def __init__(self, classifier: PowerBertTextClassifier, batch_size: int) -> None:
        super().__init__(name="gated_classifier")
        classifier.trainable = False
        self.classifier = classifier
        # Of block 1 those of the heads, then of the neurons, and so on, (batch size, units) each.
        self._gates = [
            self.add_weight((batch_size, units), "ones", name=f"gates_{units}")
            for block in classifier.backbone.blocks
            for units in (block.num_heads, block.intermediate_dim)
        ]
        self._recorder = GradientRecorder()
        if classifier.num_classes == 1:
            loss = keras.losses.MeanSquaredError(reduction="sum")
        else:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        self.compile(optimizer=self._recorder, loss=loss)
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        """Return logits, (batch, classes), always without dropout."""
        backbone, padding_mask = self.classifier.backbone, inputs["padding_mask"]
        gates = [gate[: ops.shape(padding_mask)[0]] for gate in self._gates]  # (batch, units) each
        hidden = backbone.embeddings(inputs["token_ids"], inputs["segment_ids"], training=False)
        visibility = ops.cast(padding_mask, hidden.dtype)
        for block, heads, neurons in zip(backbone.blocks, gates[::2], gates[1::2], strict=True):
            is_last = block is backbone.blocks[-1]
            # (batch, kept, hidden) and (batch, kept)
            hidden, visibility, _ = block.encode(
                hidden, visibility, padding_mask, is_last, UnitGates(heads, neurons), training=False
            )
        return self.classifier.logits_of(backbone.pooler(hidden[:, 0, :]), training=False)

    def importance(self) -> list[Importance]:
        """Return what has been recorded, for each block."""
        recorded = self._recorder.recorded()
        return [Importance(heads, neurons) for heads, neurons in zip(recorded[::2], recorded[1::2], strict=True)]


class GradientRecorder(keras.optimizers.Optimizer):
    """Optimizer that changes no variable, and adds up the absolute values of the gradients over their first axis."""

    def __init__(self) -> None:
        super().__init__(learning_rate=1.0)

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._sums = [
            self.add_variable(variable.shape[1:], name="absolute_gradients", dtype="float32") for variable in variables
        ]

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Add a gradient; `variable` is Keras' or the backend's."""
        sums = self._sums[self._get_variable_index(variable)]
        sums.assign_add(ops.sum(ops.abs(ops.cast(gradient, "float32")), axis=0))

    def recorded(self) -> list[np.ndarray]:
        """Return the sums, in the order of the variables."""
        return [ops.convert_to_numpy(each) for each in self._sums]


def most_important(importance: np.ndarray, kept: int) -> np.ndarray:
    """Return the indices of the `kept` most important units, in their order."""
    return np.sort(np.argsort(-importance, kind="stable")[:kept])


def mask_of(importance: np.ndarray, kept: int) -> np.ndarray:
    """Return 1 for the `kept` most important units and 0 for the others, float32 (units,)."""
    mask = np.zeros(len(importance), np.float32)
    mask[most_important(importance, kept)] = 1.0
    return mask
