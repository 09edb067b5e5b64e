"""Shows how far downloads are."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from power_bert.text.transfer import Progress

# Without a terminal a line is printed at most this often, in seconds.
_SECONDS_BETWEEN_LINES = 15.0
_MEGABYTE = 1e6


@contextmanager
def transfer_bars(console: Console) -> Iterator[Callable[[str], Progress]]:
    """Yields what makes the progress of a file from its name: a bar on a terminal, a line now and then elsewhere."""
    sizes = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *sizes)
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def start(name: str) -> Progress:
            bar = bars.add_task(name, total=None)
            last_line = time.monotonic()

            def show(done: int, total: int | None) -> None:
                nonlocal last_line
                bars.update(bar, completed=done, total=total, visible=done != total)
                if bars.disable and time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                    last_line = time.monotonic()
                    of_total = f" of {total / _MEGABYTE:.1f}" if total else ""
                    console.print(f"{name}: {done / _MEGABYTE:.1f}{of_total} MB", markup=False)

            return show

        yield start
