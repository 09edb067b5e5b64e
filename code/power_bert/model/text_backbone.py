"""Common base of all encoders of this project: the same three inputs and the same attributes."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub

from power_bert.elimination.retention import Retention
from power_bert.model.preset import WholePreset

INPUT_NAMES = ("token_ids", "segment_ids", "padding_mask")


def make_inputs() -> dict[str, Any]:
    """Make the symbolic inputs of an encoder, int32 (batch, length) each."""
    return {name: keras.Input((None,), dtype="int32", name=name) for name in INPUT_NAMES}


class TextBackbone(WholePreset, keras_hub.models.Backbone):
    """Base class of `PowerBertBackbone` and of the students' backbones.

    Inputs, a dict of int32 (batch, length): ``token_ids``, ``segment_ids``, ``padding_mask``. Outputs, a dict with
    ``pooled_output`` (batch, hidden) and, if the encoder has one hidden state per token, ``sequence_output`` (batch,
    length, hidden). The outputs do not depend on the amount of padding in a batch.

    Attributes:
        gives_logits: Whether ``pooled_output`` already is the logits (or the score), so that no head is needed.
        vocabulary_size: Rows of the token embedding table.
        max_sequence_length: Largest sequence length in tokens; practically unlimited without position embeddings.
        initializer_range: Standard deviation of the initialization of a head on it.
        extraction: Token elimination: None, "soft" or "hard".
        retention: Retention configuration of hard extraction; None without it.
    """

    gives_logits: bool = False
    vocabulary_size: int
    max_sequence_length: int = 1 << 20
    initializer_range: float = 0.02
    extraction: str | None = None
    retention: Retention | None = None
