"""What all figures have in common: colors, readable logarithmic axes, the Pareto front, encoding as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 130
COLORS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#868e96", "#e8590c", "#0b7285", "#c2255c")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Last over first value of an axis from which ticks at 2 and 5 times powers of 10 would be too many.
_MANY_TICKS = 200


def log_x_axis(panel: Axes) -> None:
    """Make the x axis logarithmic, with written-out ticks at powers of 10, and at 2 and 5 times them if there is room.

    Call it when all data are drawn.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < _MANY_TICKS else (1.0,)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g}M" if x >= 1e6 else f"{x:g}")


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Return the positions of those that no other one beats: cheaper and no worse, or better and no dearer.

    Args:
        costs: Cost of each, the lower the better.
        scores: Score of each, the higher the better.

    Returns:
        Positions by rising cost, and so by rising score.
    """
    front = list[int]()
    for position in sorted(range(len(costs)), key=lambda position: (costs[position], -scores[position])):
        if not front or scores[position] > scores[front[-1]]:
            front.append(position)
    return front


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as a PNG file; needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})
    return picture.getvalue()
