"""How important each attention head and feed-forward neuron is: the gradient of its gate over training batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.model.backbone import PowerBertBackbone

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


class ImportanceRecorder(keras.optimizers.Optimizer):
    """Optimizer that changes no weight and adds up |∂loss/∂gate| of heads and neurons over training steps.

    The gate multiplies the output of a unit, so its gradient is Σ activation · ∂loss/∂activation (Michel et al. 2019,
    section 5): the sum of weight · gradient over the row of the next kernel that the unit feeds.

    Args:
        backbone: Encoder that is ranked.
    """

    def __init__(self, backbone: PowerBertBackbone) -> None:
        super().__init__(learning_rate=1.0)
        self._rows_per_unit = {
            variable.path: rows
            for block in backbone.blocks
            for variable, rows in (
                (block.attention.output_projection.kernel, block.attention.head_dim),
                (block.output_projection.kernel, 1),
            )
        }
        self._sums: dict[int, keras.Variable] = {}

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        for index, variable in enumerate(variables):
            if rows := self._rows_per_unit.get(variable.path):
                self._sums[index] = self.add_variable((variable.shape[0] // rows,), name="importance", dtype="float32")

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Add the gradient of the gates that one kernel tells; `variable` is Keras' or the backend's."""
        sums = self._sums.get(self._get_variable_index(variable))
        if sums is not None:
            weighted = ops.cast(gradient, "float32") * ops.cast(variable, "float32")  # (rows, outputs)
            of_units = ops.sum(ops.reshape(weighted, (sums.shape[0], -1)), axis=1)  # (units,)
            sums.assign_add(ops.abs(of_units))

    def importance(self, backbone: PowerBertBackbone) -> list[Importance]:
        """Return what has been recorded, for each block."""
        return [
            Importance(self._recorded(block.attention.output_projection), self._recorded(block.output_projection))
            for block in backbone.blocks
        ]

    def _recorded(self, layer: keras.layers.Dense) -> np.ndarray:
        recorded: np.ndarray = ops.convert_to_numpy(self._sums[self._get_variable_index(layer.kernel)])
        return recorded


def most_important(importance: np.ndarray, kept: int) -> np.ndarray:
    """Return the indices of the `kept` most important units, in their order."""
    return np.sort(np.argsort(-importance, kind="stable")[:kept])


def mask_of(importance: np.ndarray, kept: int) -> np.ndarray:
    """Return 1 for the `kept` most important units and 0 for the others, float32 (units,)."""
    mask = np.zeros(len(importance), np.float32)
    mask[most_important(importance, kept)] = 1.0
    return mask
