"""A search with a target: "so many times fewer floating-point operations", where the paper has a λ to tune."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.model.extraction import SoftExtraction
from power_bert.model.flops import Shape, block_coefficients, forward_flops, speedup
from power_bert.model.retention import Retention, retention_from_masses

Tensor = Any
# How hard a cost over the target presses. The search settles where this pressure equals what the eliminated words are
# worth to the loss; at 10, that is a few percent over the target, which `meet_speedup` then takes off.
_STRENGTH = 10.0
_BISECTIONS = 40


class CostTarget(keras.regularizers.Regularizer):
    """strength · max(0, cost · speedup − 1)², cost being the share of the FLOPs that is left.

    It takes the place of λ · Σ_j j · mass(j): the pressure falls to nothing as the target is reached, so that no λ has
    to be found, and what a block's word-vectors cost is counted and not taken to be j. It is a function of all blocks,
    attached to one retention variable.

    Args:
        layers: the soft extraction of every block.
        shape: sizes of the model.
        lengths: words of the training examples, (examples,).
        target: how many times fewer FLOPs, over 1.
    """

    def __init__(self, layers: Sequence[SoftExtraction], shape: Shape, lengths: Sequence[int], target: float) -> None:
        counts = Counter(int(length) for length in lengths)
        self.layers, self.shape, self.target = tuple(layers), shape, target
        self.words = np.array(list(counts), dtype=np.float32)
        self.weights = np.array(list(counts.values()), dtype=np.float32) / len(lengths)
        self.full_cost = forward_flops(shape, lengths).per_example
        self.ends = self.full_cost - sum(forward_flops(shape, lengths).blocks) / len(lengths)

    def cost(self) -> Tensor:
        """FLOPs of an average example with the retention parameters of the moment, as a share of those without."""
        quadratic, linear, left_over = block_coefficients(self.shape)
        entering = ops.convert_to_tensor(self.words)
        total = ops.convert_to_tensor(self.ends, dtype="float32")
        for number, layer in enumerate(self.layers, start=1):
            # The last block keeps [CLS] alone.
            left = ops.ones_like(entering) if number == len(self.layers) else self._kept(layer, entering)
            block = quadratic * ops.square(entering) + linear * entering + left_over * left
            total = total + ops.sum(self.weights * block)
            entering = left
        return total / self.full_cost

    def _kept(self, layer: SoftExtraction, entering: Tensor) -> Tensor:
        """Word-vectors that a block keeps of examples of `self.words` words, of which `entering` are left."""
        mass = ops.sum(layer.retention_by_rank())
        kept = mass * self.words / layer.parameters if layer.unit == "fraction" else mass * ops.ones_like(entering)
        return ops.clip(kept, ops.ones_like(entering), entering)

    def __call__(self, value: Tensor) -> Tensor:
        return _STRENGTH * ops.square(ops.relu(self.cost() * self.target - 1.0))


def meet_speedup(
    masses: Sequence[float], parameters: int, unit: str, shape: Shape, lengths: Sequence[int], target: float
) -> Retention:
    """The configuration from the masses of a search, all multiplied by what makes it meet the target.

    Args:
        masses: one a block.
        parameters: retention parameters a block.
        unit: "fraction" or "tokens".
        shape: sizes of the model.
        lengths: words of the training examples.
        target: how many times fewer FLOPs.

    Returns:
        The configuration that keeps most and is at least `target` times cheaper; if none is, that which keeps least.
    """

    def scaled(factor: float) -> Retention:
        return retention_from_masses([*(factor * mass for mass in masses[:-1]), 0.0], parameters, unit)

    low, high = 0.0, max(2.0, parameters / min(masses))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if speedup(shape, lengths, scaled(middle)) >= target:
            low = middle
        else:
            high = middle
    return scaled(low)
