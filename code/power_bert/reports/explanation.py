"""Tokens that are left after each block: as text, PNG and HTML."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from rich.cells import cell_len

from power_bert.errors import UserError
from power_bert.pictures import DOTS_PER_INCH, png_bytes
from power_bert.predict.surviving_tokens import Explanation, format_prediction
from power_bert.reports.html_page import html_page
from power_bert.result_tables import WIDTH

_DROPPED = "·"
# Colors of a token that the first block drops, and of one that is left at the end: red, green, blue.
_FIRST, _LAST = (222, 235, 247), (8, 81, 156)
# The picture, in points (1/72 inch): its width, the height of a line, a character of the font, the space of labels, and
# the margin.
_PAGE, _LINE, _CHARACTER, _LABELS, _MARGIN = 640.0, 18.0, 5.45, 92.0, 8.0
_MOST_PIXELS = 2**16


def explanation_lines(explanation: Explanation) -> list[str]:
    """Return a table for a terminal: one line per block, with a dot in the place of each token that is dropped.

    A long text is continued in a table below.
    """
    left = _left_after(explanation)
    digits = len(str(left[0][1]))
    labels = [f"{name:<8}  {count:>{digits}}  " for name, count, _ in left]
    lines = [f"{'after':<8}  tokens left"]
    for columns in _fitting(explanation.tokens, WIDTH - len(labels[0])):
        lines.append("")
        for label, (_, _, kept) in zip(labels, left, strict=True):
            cells = (_cell(explanation.tokens[column], bool(kept[column])) for column in columns)
            lines.append((label + " ".join(cells)).rstrip())
    return lines


def wrapped_prediction(explanation: Explanation, title: str, width: int, indent: str = "") -> list[str]:
    """Return the prediction after a title, in lines that end between two probabilities; `indent` starts all but one."""
    text = f"{title}{format_prediction(explanation)}".replace(") ", ")\0")
    lines = textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _left_after(explanation: Explanation) -> list[tuple[str, int, np.ndarray]]:
    """Return name, number of tokens and whether each is left, (length,), of the input and after each block."""
    steps = [np.ones(len(explanation.tokens), bool), *explanation.kept]
    names = ["input", *(f"block {number}" for number in range(1, len(steps)))]
    return [(name, int(kept.sum()), kept) for name, kept in zip(names, steps, strict=True)]


def _fitting(texts: Sequence[str], width: float) -> Iterator[list[int]]:
    """Yield the positions of the texts of each line, with one character between two of them."""
    line, used = list[int](), 0
    for position, text in enumerate(texts):
        if line and used + cell_len(text) > width:
            yield line
            line, used = [], 0
        line.append(position)
        used += cell_len(text) + 1
    if line:
        yield line


def _cell(token: str, is_left: bool) -> str:
    return token if is_left else _DROPPED + " " * (cell_len(token) - 1)


def _legend(explanation: Explanation) -> dict[int, str]:
    """Return what each color stands for, for the blocks that drop tokens: number of the block → words."""
    blocks = len(explanation.kept)
    numbers = sorted(set(explanation.dropped_by.tolist()))
    return {number: f"dropped by block {number}" if number <= blocks else "left at the end" for number in numbers}


def _colors(dropped_by: int, blocks: int) -> tuple[str, str]:
    """Return the colors of a token and of its text; the later it is dropped, the darker it is."""
    place = (dropped_by - 1) / max(blocks, 1)
    mixed = (round(low + place * (high - low)) for low, high in zip(_FIRST, _LAST, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed), "white" if place > 0.5 else "black"


def explanation_html(explanation: Explanation, text: str, source: str) -> str:
    """Return a page: the text with the tokens shaded by the block that drops them, and what is left after each block.

    Args:
        explanation: What is shown.
        text: The text, as given.
        source: The model, for the reader.
    """
    blocks, numbers = len(explanation.kept), explanation.dropped_by.tolist()
    legend = _legend(explanation)

    def box(content: str, number: int, hint: str = "") -> str:
        fill, ink = _colors(number, blocks)
        title = f' title="{hint}"' if hint else ""
        return f'<span class="token"{title} style="background:{fill};color:{ink}">{escape(content)}</span>'

    def line(kept: np.ndarray) -> str:
        of_tokens = zip(explanation.tokens, numbers, kept, strict=True)
        return "".join(box(token, number) if left else f" {_DROPPED} " for token, number, left in of_tokens)

    rows = (
        f"<tr><td>{name}</td><td>{count}</td><td>{line(kept)}</td></tr>"
        for name, count, kept in _left_after(explanation)
    )
    whole = (box(token, number, legend[number]) for token, number in zip(explanation.tokens, numbers, strict=True))
    parts = [
        f"<p>{escape(text)}</p>",
        f"<p><b>{escape(format_prediction(explanation))}</b><br>{escape(source)}</p>",
        f"<p>{''.join(whole)}</p>",
        "<p>" + "".join(box(words, number) for number, words in legend.items()) + "</p>",
        "<h2>Block by block</h2>",
        f"<table><tr><th>after</th><th>count</th><th>tokens left</th></tr>{''.join(rows)}</table>",
    ]
    return html_page("Tokens left after each block", parts, "td:first-child { white-space: nowrap; }")


def explanation_picture(explanation: Explanation) -> bytes:
    """Return a PNG: a line per block with the tokens that are left, shaded by the block that drops them.

    Raises:
        UserError: The text is too long for a picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    blocks, left = len(explanation.kept), _left_after(explanation)
    lines = list(_fitting(explanation.tokens, (_PAGE - _LABELS - 2 * _MARGIN) / _CHARACTER))
    legend = list(_legend(explanation).items())
    columns_of_page = (_PAGE - 2 * _MARGIN) / _CHARACTER
    legend_lines = list(_fitting([f"{words} " for _, words in legend], columns_of_page))
    prediction = wrapped_prediction(explanation, "prediction: ", int(columns_of_page))
    height = _LINE * (1.5 + len(prediction) + (len(left) + 0.5) * len(lines) + 0.5 + len(legend_lines))
    if height / 72 * DOTS_PER_INCH > _MOST_PIXELS:
        raise UserError(f"{len(explanation.tokens)} tokens are too many for a picture; give --html instead")
    figure = Figure(figsize=(_PAGE / 72, height / 72), dpi=DOTS_PER_INCH)
    panel = figure.add_axes((0, 0, 1, 1))
    panel.set(xlim=(-_MARGIN, _PAGE - _MARGIN), ylim=(height, 0))
    panel.axis("off")

    def write(x: float, y: float, words: str, color: str = "black") -> None:
        panel.text(x, y, words, color=color, va="center", family="monospace", fontsize=9, parse_math=False)

    def box(x: float, y: float, words: str, number: int) -> None:
        fill, ink = _colors(number, blocks)
        wide = cell_len(words) * _CHARACTER
        panel.add_patch(Rectangle((x - 1.5, y - 0.42 * _LINE), wide + 3, 0.84 * _LINE, facecolor=fill, linewidth=0))
        write(x, y, words, ink)

    panel.text(0, _LINE, "Tokens left after each block", fontsize=11, va="center")
    for number, words in enumerate(prediction):
        write(0, (2 + number) * _LINE, words)
    y = (2.25 + len(prediction)) * _LINE
    for columns in lines:
        for name, count, kept in left:
            write(0, y, f"{name:<8} {count:>4}")
            x = _LABELS
            for column in columns:
                token = explanation.tokens[column]
                if kept[column]:
                    box(x, y, token, int(explanation.dropped_by[column]))
                else:
                    write(x + (cell_len(token) - 1) / 2 * _CHARACTER, y, _DROPPED, "#868e96")
                x += (cell_len(token) + 1) * _CHARACTER
            y += _LINE
        y += 0.5 * _LINE
    for columns in legend_lines:
        starts = itertools.accumulate([0, *(len(legend[column][1]) + 2 for column in columns)])
        for start, column in zip(starts, columns, strict=False):
            number, words = legend[column]
            box(start * _CHARACTER, y, words, number)
        y += _LINE
    return png_bytes(figure)
