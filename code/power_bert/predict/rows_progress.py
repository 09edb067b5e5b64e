"""Progress of work on rows whose total number may be unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# Without a terminal a line is printed at most this often, in seconds.
_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def rows_progress(console: Console, title: str, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Yield a progress callback `advance(rows)`; rows and rows per second are shown.

    A terminal shows a bar that disappears at the end of the block. Without a terminal a line is printed every few
    seconds.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]}"), TimeElapsedColumn())
    started = last_line = time.monotonic()
    rows = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task(title, total=None, rows="")

        def advance(more: int) -> None:
            nonlocal rows, last_line
            rows += more
            now = time.monotonic()
            text = f"{rows:,} {unit}, {rows / max(now - started, 1e-9):,.0f} a second"
            bar.update(shown, rows=text)
            if bar.disable and now - last_line > _SECONDS_BETWEEN_LINES:
                last_line = now
                console.print(f"{title}  {text}", markup=False)

        yield advance
