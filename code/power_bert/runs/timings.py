"""The timings.json of a run: names of the timed conditions, and the speed-ups of elimination."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.errors import UserError
from power_bert.runs.document import REMEDY, Document

FIXED_PADDING = "fixed_padding"
BUCKETED = "bucketed"
BUCKETED_ELIMINATED = "bucketed_eliminated"
# One text at a time.
SINGLE = "single"
SINGLE_ELIMINATED = "single_eliminated"
# Counted, not timed.
UNPADDED = "unpadded"
UNPADDED_ELIMINATED = "unpadded_eliminated"


@dataclass(frozen=True)
class Speedups:
    """Factors by which elimination reduces the cost of a model.

    Attributes:
        flops: FLOPs reduction (counted), on unpadded examples.
        bucketed: Speed-up (measured), with length-bucketed batches for both models.
        padded: Speed-up (measured) over the model without elimination on batches padded to the maximum length.
    """

    flops: float
    bucketed: float
    padded: float


def read_speedups(path: Path) -> Speedups:
    """Read the ``timings.json`` of a run; a UserError names a missing entry."""
    document = Document.read(path)
    timings = document.part("timings")
    seconds = {
        name: timings.part(name).number("seconds_per_example")
        for name in (FIXED_PADDING, BUCKETED, BUCKETED_ELIMINATED)
    }
    if not all(value > 0 for value in seconds.values()):
        raise UserError(f"{path}: seconds_per_example is not above 0; {REMEDY}")
    eliminated = seconds[BUCKETED_ELIMINATED]
    return Speedups(
        document.number("flops_speedup"), seconds[BUCKETED] / eliminated, seconds[FIXED_PADDING] / eliminated
    )
