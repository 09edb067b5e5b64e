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
# λ, per share of an example's words, of a cost that is twice the target. The search settles where λ equals what the
# eliminated words are worth to the loss: some percent over the target, which `meet_speedup` then takes off.
_STRENGTH = 10.0
_BISECTIONS = 40
_HIGHEST_POWER = 64.0


class CostTarget(keras.regularizers.Regularizer):
    """λ · Σ_j j · share(j) with a λ that adjusts itself: in proportion to how far the FLOPs are over the target.

    The FLOPs themselves are no use as a regulariser: no block keeps more than the one before it, so eliminating in the
    first block alone lowers them most, and nothing would press on the others. λ · j does (Goyal et al. 2020,
    equation 3). It is a function of all blocks, attached to one retention variable.

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
        strength = _STRENGTH * ops.stop_gradient(ops.relu(self.cost() * self.target - 1.0))
        shares = [ops.mean(layer.retention_by_rank()) for layer in self.layers]
        return strength * sum(number * share for number, share in enumerate(shares, start=1))


def meet_speedup(
    masses: Sequence[float], parameters: int, unit: str, shape: Shape, lengths: Sequence[int], target: float
) -> Retention:
    """The configuration from the masses of a search, as shares all raised to the power that makes it meet the target.

    A power leaves a block alone that keeps everything, and changes those most that keep little.

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

    def raised(power: float) -> Retention:
        shares = [(mass / parameters) ** power for mass in masses[:-1]]
        return retention_from_masses([*(share * parameters for share in shares), 0.0], parameters, unit)

    low, high = 0.0, _HIGHEST_POWER
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if speedup(shape, lengths, raised(middle)) >= target:
            high = middle
        else:
            low = middle
    return raised(high)
