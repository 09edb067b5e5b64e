"""timings.json of a run: the ways in which its examples were timed, and what elimination has won."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.analysis.document import REMEDY, Document
from power_bert.errors import UserError

FIXED_PADDING = "fixed_padding"
BUCKETED = "bucketed"
BUCKETED_ELIMINATED = "bucketed_eliminated"
# Counted, not timed.
UNPADDED = "unpadded"
UNPADDED_ELIMINATED = "unpadded_eliminated"


@dataclass(frozen=True)
class Speedups:
    """How many times less a model with elimination needs than the same without.

    Attributes:
        flops: floating-point operations, on unpadded examples.
        bucketed: time, both on length-bucketed batches.
        padded: time, the model without elimination on batches padded to the maximum length.
    """

    flops: float
    bucketed: float
    padded: float


def read_speedups(path: Path) -> Speedups:
    """What ``timings.json`` of a run says; a UserError names what is missing in it."""
    document = Document.read(path)
    timings = document.part("timings")
    seconds = {
        way: timings.part(way).number("seconds_per_example") for way in (FIXED_PADDING, BUCKETED, BUCKETED_ELIMINATED)
    }
    if not all(value > 0 for value in seconds.values()):
        raise UserError(f"{path}: seconds_per_example is not above 0; {REMEDY}")
    eliminated = seconds[BUCKETED_ELIMINATED]
    return Speedups(
        document.number("flops_speedup"), seconds[BUCKETED] / eliminated, seconds[FIXED_PADDING] / eliminated
    )
