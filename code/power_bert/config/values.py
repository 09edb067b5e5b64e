"""Structured values of settings: schedules, blocks and layer maps. Keras is not imported.

Each value has a short text form for the command line and config.json: `parse` reads it, `str` writes it.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from power_bert.errors import UserError, shorten

Number = TypeVar("Number", int, float)
SHAPES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """Value that changes during training, from `start` at the first step to `end` at the last.

    Attributes:
        shape: "constant", "linear", or "cosine" (slow at both ends; Loshchilov & Hutter 2017).
        start: Value at the first step.
        end: Value at the last step; equal to `start` if the shape is constant.
    """

    shape: str
    start: float
    end: float

    @classmethod
    def constant(cls, value: float) -> Schedule:
        """Return a schedule that keeps one value."""
        return cls("constant", value, value)

    @classmethod
    def parse(cls, given: Any) -> Schedule:
        """Read "0.5", "linear:4:1" or "cosine:1:0"; a number is a constant.

        Raises:
            ValueError: The text has none of these forms, or a number is not finite.
        """
        if isinstance(given, Schedule):
            return given
        shape, *numbers = str(given).split(":") if ":" in str(given) else ("constant", str(given))
        try:
            values = [float(number) for number in numbers]
        except ValueError:
            values = []
        expected = 1 if shape == "constant" else 2
        if shape not in SHAPES or len(values) != expected or not all(map(math.isfinite, values)):
            raise ValueError("expected a number, or a schedule such as linear:4:1 or cosine:1:0")
        return cls(shape, values[0], values[-1])

    def __str__(self) -> str:
        if self.shape == "constant":
            return _number_text(self.start)
        return f"{self.shape}:{_number_text(self.start)}:{_number_text(self.end)}"

    @property
    def smallest(self) -> float:
        """Smallest value of the schedule."""
        return min(self.start, self.end)

    @property
    def largest(self) -> float:
        """Largest value of the schedule."""
        return max(self.start, self.end)


class SparsityBlock(NamedTuple):
    """Rows and columns of a weight matrix that are pruned together, written "1x16"."""

    rows: int
    columns: int

    @classmethod
    def parse(cls, given: Any) -> SparsityBlock:
        """Read "1x16".

        Raises:
            ValueError: Anything else.
        """
        if isinstance(given, SparsityBlock):
            return given
        parts = str(given).split("x")
        if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise ValueError("expected rows x columns of a block, such as 1x16; 1x1 for single values")
        return cls(int(parts[0]), int(parts[1]))

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


# Single values are pruned.
SINGLE = SparsityBlock(1, 1)


class LayerMap(tuple[tuple[int, int], ...]):
    """Pairs of a student's and a teacher's block to compare, from 1; 0 is the embeddings. Written "1:3,2:6"."""

    __slots__ = ()

    @classmethod
    def parse(cls, given: Any) -> LayerMap:
        """Read "1:3,2:6".

        Raises:
            ValueError: Anything else.
        """
        if isinstance(given, LayerMap):
            return given
        pairs = []
        for part in str(given).split(","):
            own, _, other = part.strip().partition(":")
            if not (own.isdecimal() and other.isdecimal()):
                raise ValueError(
                    f"{part.strip()!r} is not a pair of a student's and a teacher's block (0 for the embeddings), as "
                    "in 1:3,2:6"
                )
            pairs.append((int(own), int(other)))
        return cls(pairs)

    def __str__(self) -> str:
        return ",".join(f"{own}:{other}" for own, other in self)


def parse_numbers(given: Any) -> Any:
    """Read "0.7,0.3" as (0.7, 0.3).

    Raises:
        ValueError: A part is not a positive number.
    """
    if not isinstance(given, str):
        return given
    try:
        numbers = tuple(float(part) for part in given.split(",") if part)
    except ValueError:
        numbers = (math.nan,)
    if not all(0 < number < math.inf for number in numbers):
        raise ValueError("expected positive numbers with commas, as in 0.7,0.3")
    return numbers


def parse_list(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Parse the numbers of an option, with commas between them.

    Raises:
        UserError: There are none, or one is no number of the kind.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        form = "whole numbers" if kind is int else "numbers"
        raise UserError(f"{option} {shorten(text)}: expected {form} separated by commas, such as 1,2,3") from None


def parse_block_numbers(given: Any) -> Any:
    """Read "2,4,6" as (2, 4, 6).

    Raises:
        ValueError: A part is not a whole number.
    """
    if not isinstance(given, str):
        return given
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError("expected numbers of blocks, as in 2,4,6")
    return tuple(map(int, parts))


def parse_names(given: Any) -> Any:
    """Read "mask,ngram" as ("mask", "ngram")."""
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


def parse_assignments(given: Any) -> Any:
    """Read "units=150" as {"units": 150}; a value that is not a Python literal is text.

    Raises:
        ValueError: A part is not an assignment.
    """
    if isinstance(given, dict):
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    options = {}
    for text in given if isinstance(given, list | tuple) else [given]:
        name, is_assignment, value = str(text).partition("=")
        if not is_assignment:
            raise ValueError("expected NAME=VALUE, as in units=150")
        options[name.strip()] = _parse_value(value.strip())
    return options


def _parse_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        # As config.json will give it back; otherwise a run could not be resumed, because its settings would differ.
        value = json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))
    except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return text  # a word, such as the name of a similarity
    return tuple(value) if isinstance(value, list) else value


def _number_text(number: float) -> str:
    """Write a float as Python does, but 2 for 2.0."""
    return repr(number).removesuffix(".0")
