"""Slice attention heads and feed-forward neurons out of an encoder."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from power_bert.elimination.configuration import KeptUnits
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.encoder_block import EncoderBlock


def sliced_weights(backbone: PowerBertBackbone, kept: Sequence[KeptUnits]) -> dict[int, np.ndarray]:
    """Slice the weights of an encoder whose size depends on the number of heads or neurons.

    Args:
        backbone: Encoder.
        kept: What each block keeps.

    Returns:
        `id` of each such variable → its values in the narrower encoder.
    """
    sliced: dict[int, np.ndarray] = {}
    for block, units in zip(backbone.blocks, kept, strict=True):
        for variable, axis, indices in _dependent_weights(block, units):
            sliced[id(variable)] = np.take(np.asarray(variable), indices, axis=axis)
    return sliced


def _dependent_weights(block: EncoderBlock, units: KeptUnits) -> list[tuple[keras.Variable, int, np.ndarray]]:
    """List the weights of a block that heads and neurons decide: variable, axis, and the indices to keep on it."""
    attention = block.attention
    # (heads · head_dim,): the columns of all kept heads
    columns = (units.heads[:, None] * attention.head_dim + np.arange(attention.head_dim)).ravel()
    weights = [(attention.output_projection.kernel, 0, columns), (block.output_projection.kernel, 0, units.neurons)]
    for layer, indices in (
        *((each, columns) for each in (attention.query, attention.key, attention.value)),
        (block.intermediate, units.neurons),
    ):
        weights += [(layer.kernel, 1, indices), (layer.bias, 0, indices)]
    if attention.scale is not None:
        weights.append((attention.scale, 0, units.heads))
    return weights
