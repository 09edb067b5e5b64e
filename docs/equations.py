"""Hook of mkdocs: equations become MathML, which browsers show without a script or another server."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex makes of $…$ and $$…$$.
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.+?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(page_html: str, **_: Any) -> str:
    """Replace the LaTeX of a page."""

    def mathml(equation: re.Match[str]) -> str:
        return convert(html.unescape(equation[2]), display="block" if equation[1] == "div" else "inline")

    return _EQUATION.sub(mathml, page_html)
