"""The picture of a study: learning curves against tokens and seconds, and what they end in against the parameters."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from power_bert.study.results import CellResult, Group, Values

_DOTS_PER_INCH = 130
_COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#868e96", "#e8590c")
_STYLES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")


def study_picture(groups: Sequence[Group]) -> bytes:
    """The picture as a PNG: the first setting of the grid is the colour, the others are the line.

    Args:
        groups: with at least one finished pre-training each.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.5), dpi=_DOTS_PER_INCH, layout="constrained")
    (top, bottom) = figure.subplots(2, 3)
    for row, name, label in ((top, "masked_accuracy", "masked accuracy"), (bottom, "test_loss", "test loss (nats)")):
        for panel, against, unit in ((row[0], "tokens", "tokens"), (row[1], "seconds", "seconds of training")):
            for group, colour, style in _with_looks(groups, _STYLES):
                points = _mean_curve(group, against, name)
                panel.plot(*zip(*points, strict=True), style, color=colour, label=_label(group))
            panel.set_xlabel(unit)
            panel.set_ylabel(label)
    _plot_ends(top[2], groups, lambda result: [result.figure("masked_accuracy")], "masked accuracy at the end")
    _plot_ends(bottom[2], groups, CellResult.average_scores, "mean dev score after fine-tuning")
    handles, labels = top[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})
    return picture.getvalue()


def _plot_ends(panel: Any, groups: Sequence[Group], figure: Callable[[CellResult], Values], label: str) -> None:
    """A figure of each group against its parameters, with the deviation over its seeds."""
    for group, colour, marker in _with_looks(groups, _MARKERS):
        spread = group.spread(figure)
        parameters = group.spread(lambda result: [result.parameters or None])
        if spread is not None and parameters is not None:
            panel.errorbar(
                parameters.mean,
                spread.mean,
                yerr=spread.deviation,
                fmt=marker,
                color=colour,
                capsize=3,
                label=_label(group),
            )
    panel.set_xscale("log")
    panel.set_xlabel("parameters")
    panel.set_ylabel(label)


def _with_looks(groups: Sequence[Group], looks: Sequence[str]) -> list[tuple[Group, str, str]]:
    """Each group with its colour and its line style or marker."""
    firsts = list(dict.fromkeys(_parts(group)[0] for group in groups))
    others = list(dict.fromkeys(_parts(group)[1] for group in groups))
    return [
        (
            group,
            _COLOURS[firsts.index(_parts(group)[0]) % len(_COLOURS)],
            looks[others.index(_parts(group)[1]) % len(looks)],
        )
        for group in groups
    ]


def _parts(group: Group) -> tuple[str, tuple[str, ...]]:
    """The value of the first setting, and those of the others; a grid of seeds alone has neither."""
    first, *others = [str(value) for value in group.values.values()] or [""]
    return first, tuple(others)


def _label(group: Group) -> str:
    return ", ".join(f"{name} {value}" for name, value in group.values.items()) or "all seeds"


def _mean_curve(group: Group, against: str, name: str) -> list[tuple[float, float]]:
    """Points of the mean over the seeds, as far as all of them have come."""
    histories = [result.history for result in group.results if result.history]
    return [
        (statistics.fmean(entry[against] for entry in entries), statistics.fmean(entry[name] for entry in entries))
        for entries in zip(*histories, strict=False)
    ]
