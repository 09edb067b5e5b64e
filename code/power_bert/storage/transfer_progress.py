"""Progress of downloads."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from power_bert.storage.transfer import ByteProgress

# Shortest time between lines without a terminal, in seconds.
_SECONDS_BETWEEN_LINES = 15.0
_MEGABYTE = 1e6


@contextmanager
def transfer_bars(console: Console) -> Iterator[Callable[[str], ByteProgress]]:
    """Yield a function from a file name to its progress callback: a bar on a terminal, occasional lines elsewhere."""
    sizes = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *sizes)
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def start(name: str) -> ByteProgress:
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
