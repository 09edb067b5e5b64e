"""What happens inside an encoder: hidden states and attention of every block, from one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from power_bert.model.backbone import PowerBertBackbone

Tensor = Any


@dataclass(frozen=True)
class EncoderStates:
    """Inner results of an encoder.

    Attributes:
        hidden: hidden states (batch, length, hidden): of the embeddings, then after each block.
        attention: probabilities (batch, heads, query, key) of each block.
        pooled: pooled output (batch, hidden).
    """

    hidden: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]
    pooled: Tensor


def encoder_states(
    backbone: PowerBertBackbone, inputs: dict[str, Tensor], training: bool | None = None
) -> EncoderStates:
    """Run an encoder and keep what is inside.

    Args:
        backbone: without extraction, which makes the tensors of later blocks shorter.
        inputs: as the backbone takes them.
        training: whether dropout is active.

    Raises:
        ValueError: the backbone extracts.
    """
    if backbone.extraction is not None:
        raise ValueError("the inner states of an encoder that extracts word-vectors cannot be compared")
    padding_mask = inputs["padding_mask"]
    hidden_states = backbone.embeddings(inputs["token_ids"], inputs["segment_ids"], training=training)
    visibility = ops.cast(padding_mask, hidden_states.dtype)
    hidden, attention = [hidden_states], []
    for block in backbone.blocks:
        hidden_states, visibility, probabilities = block.encode(hidden_states, visibility, padding_mask, training)
        hidden.append(hidden_states)
        attention.append(probabilities)
    return EncoderStates(tuple(hidden), tuple(attention), backbone.pooler(hidden_states[:, 0, :]))
