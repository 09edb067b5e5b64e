"""`--help` of a command: every name in full, above what it does, however narrow the terminal is."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import RenderableType

_INDENT = "    "  # of the examples in a docstring
# Texts in quotes, and options with their values.
_UNDIVIDED = re.compile(r"'[^']*'|\"[^\"]*\"|--[\w-]+ (?!-)")


class Command(TyperCommand):
    """Command whose help has no columns, in which typer cuts names."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from rich.console import Console
        from rich.padding import Padding

        console = Console(highlight=False)
        for part in self._help_parts(ctx, console.width):
            console.print(Padding(part, (0, 1)))

    def _help_parts(self, context: Any, width: int) -> Iterator[RenderableType]:
        from rich.markdown import Markdown
        from rich.padding import Padding
        from rich.text import Text

        yield Text(f"\n{self.get_usage(context)}\n", "bold")
        for paragraph in (self.help or "").split("\n\n"):
            if paragraph.startswith(_INDENT):
                yield Text("\n".join(_example_lines(textwrap.dedent(paragraph), width - 2)), "cyan")
            else:
                yield Markdown(f"{paragraph}\n")
                yield ""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [param.get_help_record(context) for param in self.get_params(context) if _is(param, kind)]
            if records:
                yield Text(f"\n{title}", "bold")
            for name, text in filter(None, records):
                yield Text(name, "cyan")
                yield Padding(Markdown(text), (0, 0, 0, 4))


def _is(param: Any, kind: str) -> bool:
    return bool(param.param_type_name == kind)


def _example_lines(example: str, width: int) -> Iterator[str]:
    """Yield the lines of an example; one that is too wide is continued so that it can still be pasted into a shell."""
    for line in example.replace("\n--", " --").splitlines():
        more, start = ("", "# ") if line.startswith("#") else (" \\", "  ")
        parts = textwrap.wrap(
            _UNDIVIDED.sub(lambda part: part[0].replace(" ", "\0"), line),
            width - len(_INDENT + more),
            subsequent_indent=start,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for number, part in enumerate(parts, start=1):
            yield _INDENT + part.replace("\0", " ") + (more if number < len(parts) else "")
