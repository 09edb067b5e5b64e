"""Values that change in the course of a training: weights of losses, temperatures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras import ops

from power_bert.errors import UserError

SHAPES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """A value from `start`, at the first update, to `end`, at the last.

    Attributes:
        shape: "constant", "linear", or "cosine" (slow at both ends; Loshchilov & Hutter 2017).
        start: value at the beginning.
        end: value at the end; that of the beginning where the shape is constant.
    """

    shape: str
    start: float
    end: float

    def __call__(self, progress: Any) -> Any:
        """The value at `progress`, which is 0 at the first update and 1 at the last."""
        if self.shape == "constant":
            return ops.convert_to_tensor(self.start, "float32")
        progress = ops.clip(ops.cast(progress, "float32"), 0.0, 1.0)
        share = progress if self.shape == "linear" else (1.0 - ops.cos(math.pi * progress)) / 2.0
        return self.start + (self.end - self.start) * share

    @property
    def smallest(self) -> float:
        """The smallest value that it takes."""
        return min(self.start, self.end)

    @property
    def largest(self) -> float:
        """The largest value that it takes."""
        return max(self.start, self.end)


def parse_schedule(name: str, text: str) -> Schedule:
    """A schedule from "0.5", "linear:4:1" or "cosine:1:0".

    Args:
        name: of the setting, for messages.
        text: what the user gave.

    Raises:
        UserError: none of these forms, or a number that is not finite.
    """
    shape, *numbers = text.split(":") if ":" in text else ("constant", text)
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    expected = 1 if shape == "constant" else 2
    if shape not in SHAPES or len(values) != expected or not all(map(math.isfinite, values)):
        raise UserError(f"{name}={text}: expected a number, or how it changes, as in linear:4:1 or cosine:1:0")
    return Schedule(shape, values[0], values[-1])
