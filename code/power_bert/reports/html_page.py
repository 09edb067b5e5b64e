"""HTML pages in one file, which open in a browser without a network; all text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd

from power_bert.result_tables import to_frame

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2rem; }
pre { white-space: pre-wrap; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
td { border-top: 1px solid #d0d7de; overflow-wrap: anywhere; }
.token { display: inline-block; padding: 0 .3rem; margin: .1rem; border-radius: .2rem; font-family: monospace; }
"""


def html_page(title: str, parts: Iterable[str], style: str = "") -> str:
    """Return a page.

    Args:
        title: Title of the page, as text.
        parts: Content below the title, as HTML.
        style: Further rules of the style sheet.
    """
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            "</body>\n</html>\n",
        ]
    )


def html_table(rows: Iterable[Sequence[Any]], columns: Sequence[str] | None = None) -> str:
    """Return a table of texts; without `columns` it has no heading."""
    frame = to_frame(([str(cell) for cell in row] for row in rows), columns)
    with pd.option_context("display.max_colwidth", None):
        return str(frame.to_html(index=False, header=columns is not None, border=0))


def html_picture(png: bytes, text: str) -> str:
    """Return a PNG inside the page, with a text for those who cannot see it."""
    return f'<p><img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'
