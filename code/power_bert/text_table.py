"""Tables for people: columns of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], words: Collection[int] = (0,)) -> list[str]:
    """Lines of a table with columns of even width.

    Args:
        rows: the cells, the heading first; all rows have as many.
        words: columns that are aligned at the left; the others, numbers, at the right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
