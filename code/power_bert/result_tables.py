"""Tables of results: DataFrames as text, Markdown and CSV; mean and standard deviation over seeds.

pandas takes a second to import, so nothing that runs at the start of every command may import this module.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

WIDTH = 80  # columns of a terminal


def to_frame(rows: Iterable[Any], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a DataFrame that keeps the type of each cell: integers beside a missing value stay integers.

    Args:
        rows: One mapping (column → cell) or one sequence of cells per row.
        columns: Column names in order; None takes them from the mappings. Cells without a value are empty.
    """
    return pd.DataFrame(list(rows), columns=columns, dtype=object)


def text_table(frame: pd.DataFrame, left: Collection[int] = (0,), keys: int = 1) -> list[str]:
    """Return the lines of a plain-text table: the column names, then one line per row.

    A table that is too wide for a terminal is divided into several, one below the other, with an empty line between
    them. Each starts with the key columns.

    Args:
        frame: Cells as they are shown.
        left: Positions of the columns that are aligned left (names); the others (numbers) are aligned right.
        keys: Number of columns at the left that say what a row is.
    """
    columns = []
    for position, name in enumerate(frame.columns):
        cells = pd.Series([str(name), *map(str, frame[name])])
        columns.append(list(cells.str.pad(cells.str.len().max(), side="right" if position in left else "left")))
    blocks = [columns[:keys]]
    for column in columns[keys:]:
        if len(blocks[-1]) > keys and len("  ".join(cells[0] for cells in [*blocks[-1], column])) > WIDTH:
            blocks.append(columns[:keys])
        blocks[-1] = [*blocks[-1], column]
    tables = [["  ".join(cells).rstrip() for cells in zip(*block, strict=True)] for block in blocks]
    return [line for table in tables for line in ["", *table]][1:]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files or folders for a table; whole paths if two names are alike."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def wrap_lines(lines: Iterable[str]) -> list[str]:
    """Return lines of prose that fit a terminal; what continues a line is indented."""
    return [part for line in lines for part in _WRAPPER.wrap(line) or [""]]


_WRAPPER = textwrap.TextWrapper(WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


class _ListWrapper(textwrap.TextWrapper):
    """Wrapper that also ends a line within a list of numbers."""

    wordsep_simple_re = re.compile(r"(\s+|(?<=,)(?=[\d[]))")


def wrap_value(label: str, value: str) -> list[str]:
    """Return a value after its label, in lines that fit a terminal; a line can also end within a list of numbers.

    Args:
        label: Start of the first line, with the space after it. The other lines are indented by as much.
        value: Text or a list of numbers, such as a retention configuration.
    """
    wrapper = _ListWrapper(
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(value)


def markdown_table(frame: pd.DataFrame) -> list[str]:
    """Return the lines of a Markdown table; `DataFrame.to_markdown` needs another package and pads the cells."""
    rows = [[str(cell).replace("|", "/") for cell in row] for row in frame.itertuples(index=False)]
    heading = f"| {' | '.join(frame.columns)} |"
    return [heading, "|" + "---|" * len(frame.columns), *(f"| {' | '.join(row)} |" for row in rows)]


def csv_text(frame: pd.DataFrame) -> str:
    """Return a DataFrame as CSV without its index; missing values are empty."""
    return str(frame.to_csv(index=False, lineterminator="\n"))


def over_seeds(frame: pd.DataFrame, by: Sequence[str], figures: Sequence[str]) -> pd.DataFrame:
    """Return the statistics over the seeds of each group, in the order in which the groups first appear.

    Args:
        frame: One row per run. Missing figures are left out of the statistics.
        by: Columns whose values define a group of runs; without any, all rows are one group.
        figures: Columns of numbers.

    Returns:
        One row per group, with columns (figure, "mean"), (figure, "std") and (figure, "count"). The standard deviation
        is that of a sample (n − 1), missing for fewer than two seeds.
    """
    figures_as_float = frame.astype(dict.fromkeys(figures, float))
    return group_rows(figures_as_float, by)[[*figures]].agg(["mean", "std", "count"])


def group_rows(frame: pd.DataFrame, by: Sequence[str]) -> Any:
    """Group rows by columns, in the order in which the groups first appear; without columns, all rows are one group."""
    keys: list[Any] = [frame[name] for name in by] or [[0] * len(frame)]
    return frame.groupby(keys, sort=False, dropna=False)


def show_over_seeds(statistics: pd.DataFrame, patterns: Mapping[str, str]) -> pd.DataFrame:
    """Return statistics of `over_seeds` as text; the columns are those of `patterns`.

    Args:
        statistics: One row per group.
        patterns: Figure → format of its mean, such as "{:+.2f}".
    """
    shown = {
        figure: show_means(statistics[figure, "mean"], statistics[figure, "std"], pattern)
        for figure, pattern in patterns.items()
    }
    return pd.DataFrame(shown, index=statistics.index)


def show_means(means: Iterable[float], deviations: Iterable[float], pattern: str) -> list[str]:
    """Return texts such as "82.00 ± 1.50": the mean only if the deviation is 0 or missing, "-" if the mean is missing.

    Args:
        means: Means over the seeds.
        deviations: Standard deviations over the seeds.
        pattern: Format of the means, such as "{:+.2f}"; deviations are formatted alike but have no sign.
    """
    return [_show_mean(*figures, pattern) for figures in zip(means, deviations, strict=True)]


def _show_mean(mean: float, deviation: float, pattern: str) -> str:
    if pd.isna(mean):
        return "-"
    shown = pattern.format(mean)
    return shown if pd.isna(deviation) or not deviation else f"{shown} ± {pattern.replace('+', '').format(deviation)}"
