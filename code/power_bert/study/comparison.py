"""The differences that studies are made for, seed by seed.

Cells of one seed see the same records in the same order and with the same masks, so their difference varies less than
the figures themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from power_bert.spread import Spread, spread_of
from power_bert.study.definition import FineTuningRun
from power_bert.study.results import CellResult, Values, group_by_all_but_seed

DOT, SIMILARITY = "dot", "similarity"
Figure = Callable[[CellResult], Values]


@dataclass(frozen=True)
class Comparison:
    """A table of differences.

    Attributes:
        title: what is subtracted from what.
        columns: headings of the differences.
        rows: settings of the cells, and a difference a column; None where no seed has both figures.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[dict[str, Any], tuple[Spread | None, ...]], ...]


def against_dot(results: Sequence[CellResult], figures: dict[str, Figure]) -> Comparison | None:
    """Every other similarity less dot-product attention, with all other settings equal; None without both.

    Args:
        results: of all cells.
        figures: heading → what to compare.
    """
    dots = {_key(result): result for result in results if result.cell.values.get(SIMILARITY) == DOT}
    rows = []
    for group in group_by_all_but_seed(results):
        pairs = [(result, dots[_key(result)]) for result in group.results if _key(result) in dots]
        if group.values.get(SIMILARITY) != DOT and pairs:
            spreads = (_spread_of_differences(pairs, figure) for figure in figures.values())
            rows.append((dict(group.values), tuple(spreads)))
    return Comparison("Less dot, at the same other settings:", tuple(figures), tuple(rows)) if rows else None


def against_untrained(results: Sequence[CellResult], tasks: Sequence[str]) -> Comparison | None:
    """Scores from pre-trained weights less those from random ones; None where no cell has both.

    Args:
        results: of all cells.
        tasks: that were fine-tuned.
    """
    rows = []
    for group in group_by_all_but_seed(results):
        spreads = tuple(spread_of(gain for result in group.results for gain in _gains(result, task)) for task in tasks)
        if any(spreads):
            rows.append((dict(group.values), spreads))
    return Comparison("Pre-trained less random weights:", tuple(tasks), tuple(rows)) if rows else None


def _key(result: CellResult) -> tuple[Any, ...]:
    return tuple(value for name, value in result.cell.values.items() if name != SIMILARITY)


def _spread_of_differences(pairs: Sequence[tuple[CellResult, CellResult]], figure: Figure) -> Spread | None:
    # A cell that is not done has fewer.
    values = (each for one, other in pairs for each in zip(figure(one), figure(other), strict=False))
    return spread_of(None if one is None or other is None else one - other for one, other in values)


def _gains(result: CellResult, task: str) -> Iterable[float | None]:
    """In percent, one a seed of fine-tuning; an undefined score counts 0, as in GLUE."""
    for seed in result.fine_tuning_seeds:
        trained, untrained = FineTuningRun(task, False, seed), FineTuningRun(task, True, seed)
        is_complete = {trained, untrained} <= result.scores.keys()
        yield 100 * ((result.scores[trained] or 0.0) - (result.scores[untrained] or 0.0)) if is_complete else None
