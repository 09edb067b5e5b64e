"""Tables of texts for people, read back: those that are divided to fit a terminal are put together again."""

import itertools
import re
from collections.abc import Sequence


def read_table(lines: Sequence[str], keys: int) -> list[dict[str, str]]:
    """Rows of the table at the start of `lines`, as heading → cell; no cell may be empty.

    Args:
        lines: Lines of a text.
        keys: Columns that every part of a divided table starts with.
    """
    parts = [list(part) for is_filled, part in itertools.groupby(lines, bool) if is_filled]
    cells = [[re.split(r"  +", line.strip()) for line in part] for part in parts]
    first = cells[0][0][:keys]
    rows: list[dict[str, str]] = [{} for _ in cells[0][1:]]
    for headings, *values in itertools.takewhile(lambda part: part[0][:keys] == first, cells):
        for row, value in zip(rows, values, strict=True):
            row |= dict(zip(headings, value, strict=True))
    return rows
