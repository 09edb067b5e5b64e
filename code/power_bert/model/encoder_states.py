"""Hidden states and attention probabilities of every encoder block, from one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from power_bert.model.backbone import PowerBertBackbone

Tensor = Any


@dataclass(frozen=True)
class EncoderStates:
    """Intermediate representations of an encoder.

    Attributes:
        hidden: Output of the embeddings, then hidden states after each block, (batch, length, hidden) each.
        attention: Attention probabilities of each block, (batch, heads, query, key) each.
        pooled: Pooled output, (batch, hidden).
    """

    hidden: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]
    pooled: Tensor


def encoder_states(
    backbone: PowerBertBackbone, inputs: dict[str, Tensor], training: bool | None = None
) -> EncoderStates:
    """Run an encoder and keep its intermediate representations.

    Args:
        backbone: Encoder without extraction, which would shorten the tensors of later blocks.
        inputs: Inputs of the backbone, int32 (batch, length) each.
        training: Whether dropout is active.

    Raises:
        ValueError: The backbone eliminates tokens.
    """
    if backbone.extraction is not None:
        raise ValueError("the hidden states of an encoder that eliminates tokens cannot be compared")
    padding_mask = inputs["padding_mask"]
    hidden_states = backbone.embeddings(inputs["token_ids"], inputs["segment_ids"], training=training)
    visibility = ops.cast(padding_mask, hidden_states.dtype)
    hidden, attention = [hidden_states], []
    for block in backbone.blocks:
        hidden_states, visibility, probabilities = block.encode(
            hidden_states, visibility, padding_mask, training=training
        )
        hidden.append(hidden_states)
        attention.append(probabilities)
    return EncoderStates(tuple(hidden), tuple(attention), backbone.pooler(hidden_states[:, 0, :]))


def cls_states(
    backbone: PowerBertBackbone, inputs: dict[str, Tensor], training: bool | None = None
) -> tuple[Tensor, Tensor]:
    """Run an encoder, with or without extraction, and keep the ``[CLS]`` state after each block.

    Args:
        backbone: Encoder.
        inputs: Inputs of the backbone, int32 (batch, length) each.
        training: Whether dropout is active.

    Returns:
        ``[CLS]`` states (batch, blocks, hidden), and the pooled output (batch, hidden).
    """
    padding_mask = inputs["padding_mask"]
    hidden_states = backbone.embeddings(inputs["token_ids"], inputs["segment_ids"], training=training)
    visibility = ops.cast(padding_mask, hidden_states.dtype)
    states = []
    for number, block in enumerate(backbone.blocks, start=1):
        is_last = number == len(backbone.blocks)
        # (batch, kept, hidden) and (batch, kept)
        hidden_states, visibility = block(hidden_states, visibility, padding_mask, cls_alone=is_last, training=training)
        states.append(hidden_states[:, 0, :])
    return ops.stack(states, axis=1), backbone.pooler(states[-1])
