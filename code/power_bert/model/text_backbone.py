"""What every encoder of this project has in common: the same three inputs, and the same questions that it answers."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub

from power_bert.model.preset import WholePreset

INPUT_NAMES = ("token_ids", "segment_ids", "padding_mask")


def make_inputs() -> dict[str, Any]:
    """Symbolic inputs of an encoder: int32 (batch, length) each."""
    return {name: keras.Input((None,), dtype="int32", name=name) for name in INPUT_NAMES}


class TextBackbone(WholePreset, keras_hub.models.Backbone):
    """Base of `PowerBertBackbone` and of the students.

    Inputs, a dict of int32 (batch, length): ``token_ids``, ``segment_ids``, ``padding_mask``. Outputs, a dict with
    ``pooled_output`` (batch, hidden) and, where there is one vector a word, ``sequence_output`` (batch, length,
    hidden). A result does not depend on how much padding a batch has.

    Attributes:
        gives_logits: whether ``pooled_output`` is the logits (or the score) already, so that no head is needed.
        vocabulary_size: rows of the token table.
        max_sequence_length: positions that the model knows; without position embeddings there is no limit of its own.
        initializer_range: standard deviation with which a head on it starts.
        extraction: elimination of word-vectors: None, "soft" or "hard".
        retention: of hard extraction, the retention configuration.
    """

    gives_logits: bool = False
    vocabulary_size: int
    max_sequence_length: int = 1 << 20
    initializer_range: float = 0.02
    extraction: str | None = None
    retention: Any = None

    @property
    def retention_variables(self) -> list[keras.Variable]:
        """What soft extraction learns in every block; empty without it."""
        return []
