"""Mean and standard deviation over seeds, as figures and as text."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds; one seed has no deviation."""

    mean: float
    deviation: float | None
    count: int


def spread_of(figures: Iterable[float | None]) -> Spread | None:
    """Of the figures that are not None; None where all are."""
    values = [value for value in figures if value is not None]
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def show_spread(spread: Spread | None, pattern: str) -> str:
    """As in 82.00 ± 1.50; the mean alone where there is no deviation, a dash where there is nothing.

    Args:
        spread: what to show.
        pattern: of the mean, such as "{:+.2f}"; the deviation has no sign.
    """
    if spread is None:
        return "-"
    mean = pattern.format(spread.mean)
    return mean if not spread.deviation else f"{mean} ± {pattern.replace('+', '').format(spread.deviation)}"


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def or_empty(value: float | None) -> float | str:
    """A figure for a CSV file."""
    return "" if value is None else value
