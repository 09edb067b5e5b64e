"""What a search finds: how many tokens, attention heads and feed-forward neurons each encoder block keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from power_bert.elimination.flops import EncoderShape
from power_bert.elimination.retention import Retention


@dataclass(frozen=True)
class EncoderConfiguration:
    """Configuration of an encoder that eliminates tokens and may be narrower than the one that was fine-tuned.

    Attributes:
        tokens: Retention configuration.
        heads: Attention heads of each block; None keeps all.
        neurons: Feed-forward neurons of each block; None keeps all.
    """

    tokens: Retention
    heads: tuple[int, ...] | None = None
    neurons: tuple[int, ...] | None = None

    def narrowed(self, shape: EncoderShape) -> EncoderShape:
        """Return the sizes of the encoder, given those before."""
        return replace(shape, heads=self.heads or shape.heads, neurons=self.neurons or shape.neurons)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, which `from_json` reads back."""
        widths = {"heads": self.heads, "neurons": self.neurons}
        return {"tokens": self.tokens.to_json(), **{name: list(kept) for name, kept in widths.items() if kept}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EncoderConfiguration:
        """Return the configuration of a stored form that has been checked."""
        heads, neurons = (tuple(stored[name]) if stored.get(name) else None for name in ("heads", "neurons"))
        return cls(Retention.of(stored["tokens"]), heads, neurons)

    def without_whole_widths(self, shape: EncoderShape) -> EncoderConfiguration:
        """Return the configuration without heads or neurons of which all blocks keep those of `shape`."""
        heads = None if self.heads == shape.heads else self.heads
        return EncoderConfiguration(self.tokens, heads, None if self.neurons == shape.neurons else self.neurons)

    def __str__(self) -> str:
        widths = {"heads": self.heads, "neurons": self.neurons}
        return "; ".join(
            [
                f"tokens {self.tokens.shown()}",
                *(f"{name} {','.join(map(str, kept))}" for name, kept in widths.items() if kept),
            ]
        )


@dataclass(frozen=True)
class KeptUnits:
    """Heads and neurons that a block keeps.

    Attributes:
        heads: Indices of attention heads, (kept,).
        neurons: Indices of feed-forward neurons, (kept,).
    """

    heads: np.ndarray
    neurons: np.ndarray
