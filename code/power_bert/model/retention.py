"""The retention configuration: how many word-vectors each encoder block keeps.

A configuration is a tuple with one value a block, in one of two units told apart by their type:

* integers: word-vectors, whatever the length of the example (the paper's form): ``(64, 60, 48, …)``;
* floats in (0, 1]: a share of each example's own words: ``(1.0, 0.8, 0.5, …)``.

The second is what saves time on length-bucketed batches, where most examples are far shorter than the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from power_bert.errors import UserError, shorten

Retention = tuple[int, ...] | tuple[float, ...]
UNITS = ("fraction", "tokens")
_MASS_SLACK = 1e-3  # a sum of float32 parameters is not exact
# Shares are kept with 4 decimals, so up to 512 words they are exact to 0.03 of a word: rounding up ignores that much.
_SHARE_STEPS = 10_000
_IGNORED_STEPS = 300


def is_fraction(retention: Sequence[int | float]) -> bool:
    """Whether the values are shares of the example's length (floats) rather than word-vectors (integers)."""
    return any(isinstance(value, float) for value in retention)


def keeps_all(value: int | float) -> bool:
    """Whether a block with this retention value keeps every word: a share of 1.0 does, the integer 1 does not."""
    return isinstance(value, float) and value >= 1.0


def share_of(share: float, words: Any) -> Any:
    """`share` · `words`, rounded up; of an integer or of an integer tensor, in integers so that both round alike."""
    return (round(share * _SHARE_STEPS) * words - _IGNORED_STEPS + _SHARE_STEPS - 1) // _SHARE_STEPS


def kept_words(value: int | float, words: int) -> int:
    """Word-vectors that a block with this retention value keeps of an example with `words` words; at least 1."""
    if isinstance(value, float):
        return max(1, share_of(value, words))
    return min(value, words)


def check_retention(retention: Sequence[int | float], num_layers: int, max_length: int) -> Retention:
    """The configuration as a tuple, or a UserError that says which rule it breaks.

    Args:
        retention: one value a block.
        num_layers: encoder blocks of the model.
        max_length: the largest number of word-vectors that can be kept.
    """
    shown = shorten(repr(format_retention(retention)))
    if len(retention) != num_layers:
        raise UserError(
            f"retention configuration {shown} has {len(retention)} values, but the model has {num_layers} "
            f"encoder blocks: give {num_layers} values separated by commas"
        )
    fraction = is_fraction(retention)
    highest = 1.0 if fraction else max_length
    values = tuple(float(value) if fraction else int(value) for value in retention)
    for block, value in enumerate(values, start=1):
        if not 0 < value <= highest or (not fraction and value < 1):
            unit = "a share in (0, 1]" if fraction else f"a number of word-vectors from 1 to {max_length}"
            raise UserError(f"retention configuration {shown}: block {block} has {value}, expected {unit}")
        if block > 1 and value > values[block - 2]:
            raise UserError(
                f"retention configuration {shown}: block {block} keeps {value}, more than the block before it "
                f"({values[block - 2]}); eliminated word-vectors do not come back, so values may not increase"
            )
    return values


def parse_retention(text: str, num_layers: int, max_length: int) -> Retention:
    """Parse ``"64,60,48"`` (word-vectors) or ``"1.0,0.8,0.5"`` (shares of each example's length).

    Raises:
        UserError: a value is no number, or the configuration breaks a rule of `check_retention`.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        if any("." in part for part in parts):
            return check_retention([float(part) for part in parts], num_layers, max_length)
        return check_retention([int(part) for part in parts], num_layers, max_length)
    except ValueError:
        raise UserError(
            f"retention configuration {shorten(repr(text))} is not a list of numbers: expected something like "
            "'64,48,32,16,8,4' (word-vectors) or '1.0,0.8,0.5,0.3,0.2,0.1' (shares of each example's length)"
        ) from None


def format_retention(retention: Sequence[int | float]) -> str:
    """The text form that `parse_retention` reads back."""
    if is_fraction(retention):
        return ",".join(f"{value:.4f}".rstrip("0").ljust(3, "0") for value in retention)
    return ",".join(str(value) for value in retention)


def retention_from_masses(masses: Sequence[float], length: int, unit: str) -> Retention:
    """Configuration from the mass Σ_k r_j[k] of every block, rounded up and made non-increasing.

    Args:
        masses: one mass a block; at least 1 counts, the `[CLS]` that is always kept (Goyal et al. 2020, section 3.3).
        length: number of retention parameters a block, the maximum length of the search.
        unit: "tokens" → word-vectors; "fraction" → shares of each example's length.
    """
    # A word-vector that an earlier block has eliminated is gone, whatever a later block would have kept.
    running = np.minimum.accumulate(np.clip(np.asarray(masses, dtype=np.float64), 1.0, length))
    if unit == "tokens":
        return tuple(math.ceil(mass - _MASS_SLACK) for mass in running)
    return tuple(round(float(mass) / length, 4) for mass in running)
