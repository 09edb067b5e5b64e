"""The retention configuration: how many tokens each encoder block keeps (Goyal et al. 2020, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from power_bert.errors import UserError, shorten

UNITS = ("fraction", "tokens")
FRACTION, TOKENS = UNITS
_MASS_SLACK = 1e-3  # a sum of float32 parameters is not exact
# Fractions are kept with 4 decimals, so up to 512 tokens they are exact to 0.03 of a token: rounding up ignores that.
_FRACTION_STEPS = 10_000
_IGNORED_STEPS = 300
CLS_ALONE = 1 / _FRACTION_STEPS  # the fraction that keeps one token of an example of any length
CLS = "[CLS]"


@dataclass(frozen=True)
class Retention:
    """Retention configuration: one value per encoder block, all in one unit.

    Attributes:
        unit: "tokens" (the paper): block j keeps `values[j]` tokens of every example. "fraction": block j keeps this
            fraction of an example's own tokens, in (0, 1]. Fractions save time on length-bucketed batches, where most
            examples are far shorter than the maximum.
        values: One integer per block with unit "tokens", one float per block with unit "fraction".

    Example:
        >>> retention = Retention.parse("1.0,0.8,0.5")
        >>> [retention.left_after(block, 7) for block in range(3)]
        [7, 6, 4]
    """

    unit: str
    values: tuple[int, ...] | tuple[float, ...]

    @classmethod
    def of(cls, values: Retention | Sequence[int | float]) -> Retention:
        """Return the configuration of a list as stored in JSON or a preset; a list with a float holds fractions."""
        if isinstance(values, Retention):
            return values
        if any(isinstance(value, float) for value in values):
            return cls(FRACTION, tuple(float(value) for value in values))
        return cls(TOKENS, tuple(int(value) for value in values))

    @classmethod
    def parse(cls, text: str) -> Retention:
        """Parse ``"64,60,48"`` (tokens) or ``"1.0,0.8,0.5"`` (fractions of each example's length).

        Raises:
            UserError: A value is not a number.
        """
        number = float if "." in text else int
        try:
            return cls.of([number(part) for part in text.split(",")])
        except ValueError:
            raise UserError(
                f"retention configuration {shorten(repr(text))} is not a list of numbers: expected something like "
                "'64,48,32,16,8,4' (tokens) or '1.0,0.8,0.5,0.3,0.2,0.1' (fractions of each example's tokens)"
            ) from None

    @classmethod
    def from_masses(cls, masses: Sequence[float], length: int, unit: str) -> Retention:
        """Return the configuration of a search: the mass of every block, rounded up and made non-increasing.

        Args:
            masses: Mass of every block, mass(j) = Σ_k r_j[k]. A mass below 1 counts as 1: ``[CLS]`` is always kept.
            length: Number of retention parameters per block, the maximum length of the search.
            unit: "tokens" or "fraction".
        """
        # A token that an earlier block has eliminated is gone, whatever a later block would have kept.
        running = np.minimum.accumulate(np.clip(np.asarray(masses, dtype=np.float64), 1.0, length))
        if unit == TOKENS:
            return cls(unit, tuple(math.ceil(mass - _MASS_SLACK) for mass in running))
        return cls(unit, tuple(round(float(mass) / length, 4) if mass > 1.0 else CLS_ALONE for mass in running))

    def checked(self, num_blocks: int, max_length: int) -> Retention:
        """Return this configuration if it fits a model.

        Args:
            num_blocks: Encoder blocks of the model.
            max_length: The largest number of tokens that can be kept.

        Raises:
            UserError: It does not fit; the message says which rule it breaks.
        """
        shown, values = shorten(repr(str(self))), self.values
        if len(values) != num_blocks:
            raise UserError(
                f"retention configuration {shown} has {len(values)} values, but the model has {num_blocks} "
                f"encoder blocks: give {num_blocks} values separated by commas"
            )
        if self.unit == FRACTION:
            highest, expected = 1.0, "a fraction in (0, 1]"
        else:
            highest, expected = max_length, f"a number of tokens from 1 to {max_length}"
        for block, value in enumerate(values, start=1):
            if not 0 < value <= highest:
                raise UserError(f"retention configuration {shown}: block {block} has {value}, expected {expected}")
            if block > 1 and value > values[block - 2]:
                raise UserError(
                    f"retention configuration {shown}: block {block} keeps {value}, more than the block before it "
                    f"({values[block - 2]}); eliminated tokens do not come back, so values may not increase"
                )
        return self

    def left_after(self, block: int, length: Any, xp: Any = np) -> Any:
        """Count the tokens that are left after a block.

        Args:
            block: Index of the block, from 0.
            length: Tokens of each example, without padding: an integer, or an array or tensor of integers.
            xp: Array library of `length`: `numpy`, or `keras.ops` for tensors.

        Returns:
            An integer, or an array or tensor of the shape of `length`; at least 1, the ``[CLS]``.
        """
        value = min(self.values[: block + 1])  # tokens that an earlier block eliminated do not come back
        if self.unit == TOKENS:
            left = xp.minimum(value, length)
        else:
            # ⌈value · length⌉ in integers, so that Python, NumPy and tensors of any backend round alike.
            steps = round(value * _FRACTION_STEPS) * length - _IGNORED_STEPS
            left = xp.maximum(1, (steps + _FRACTION_STEPS - 1) // _FRACTION_STEPS)
        return int(left) if isinstance(length, int) else left

    def keeps_all(self, block: int) -> bool:
        """Return whether a block keeps every token of every example, so that it needs no extraction."""
        return self.unit == FRACTION and self.values[block] >= 1.0

    def keeps_cls_alone(self, block: int) -> bool:
        """Return whether a block keeps ``[CLS]`` alone, of an example of any length."""
        value = min(self.values[: block + 1])
        return value == 1 if self.unit == TOKENS else value <= CLS_ALONE

    def fuses(self, block: int) -> bool:
        """Return whether a block drops tokens that it can fuse: it may drop some, and keeps more than ``[CLS]``."""
        return not self.keeps_all(block) and not self.keeps_cls_alone(block)

    def to_json(self) -> list[int] | list[float]:
        """Return the stored form, which `of` reads back."""
        return list(self.values)

    def __str__(self) -> str:
        """Return the text form, which `parse` reads back; fractions with up to 4 decimals."""
        return ",".join(self._texts())

    def shown(self, fuse_dropped: bool = False) -> str:
        """Return the text form for people, with "[CLS]" for a block that keeps ``[CLS]`` alone.

        Args:
            fuse_dropped: Whether the model fuses the tokens that a block drops, which the text then says.
        """
        texts = self._texts()
        kept = ",".join(CLS if self.keeps_cls_alone(block) else text for block, text in enumerate(texts))
        fuses = fuse_dropped and any(map(self.fuses, range(len(texts) - 1)))  # the last block never does
        return f"{kept}, dropped tokens fused" if fuses else kept

    def _texts(self) -> list[str]:
        if self.unit == FRACTION:
            return [f"{value:.4f}".rstrip("0").ljust(3, "0") for value in self.values]
        return [str(value) for value in self.values]
