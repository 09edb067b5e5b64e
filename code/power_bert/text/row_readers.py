"""Files to rows of strings, chunk by chunk: TSV as GLUE has it, CSV and JSON lines. A bad row stops the reading."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.files import check_first_line, read_line_chunks
from power_bert.parsing import parse_json
from power_bert.text.task import Layout

# Enough for readers and tokenizer to run at full speed, few enough to hold little memory.
CHUNK_ROWS = 8192
REMEDY = "Correct the line or download the file again."
# The csv module's own limit is 128 KiB a field; long texts are cut by the tokenizer, not refused.
_MAX_CSV_FIELD = 2**31 - 1


@dataclass(frozen=True)
class RawRows:
    """Consecutive rows of one source, as strings.

    Attributes:
        source: The file, or another name of the source.
        numbers: Where each row stands in the source: the line of a file, (rows,).
        texts: One or two columns of texts, each (rows,).
        targets: Labels or scores, (rows,); None where the source has none.
        unit: What `numbers` counts.
        indices: The index column, (rows,); None where the source has none.
    """

    source: str
    numbers: Sequence[int]
    texts: tuple[list[str], ...]
    targets: list[str] | None
    unit: str = "line"
    indices: list[str] | None = None

    def where(self, row: int) -> str:
        """Where a row of these stands, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"


def read_rows(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Read a file by its ending: `.tsv`, `.csv` or `.jsonl`; memory does not grow with the file.

    Args:
        path: The file.
        layout: Its columns, or the keys of its objects.
        chunk_rows: Rows yielded at once, at most.

    Raises:
        UserError: The file is not as the layout says; names the line.
    """
    check_first_line(path, first_line(path))
    num_rows = 0
    for rows in READERS[path.suffix](path, layout, chunk_rows):
        _check_indices(rows, num_rows, layout)
        num_rows += len(rows.numbers)
        yield rows
    if num_rows == 0:
        raise UserError(f"{path}: no rows after the header. Expected at least one; download the file again.")


def read_tsv(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Read columns separated by tabs, with quoting off: a quotation mark is a character as any other."""
    header = first_line(path).split("\t") if layout.has_header else []
    columns, num_columns = _find_columns(path, header, layout), layout.num_columns or len(header)
    number = 1
    for lines in read_line_chunks(path, chunk_rows, keep_empty_end=num_columns == 1):
        rows, numbers = [line.split("\t") for line in lines], range(number, number + len(lines))
        _check_widths(path, rows, numbers, num_columns, "separated by tabs")
        if number == 1 and layout.has_header:
            rows, numbers = rows[1:], numbers[1:]
        number += len(lines)
        if rows:
            yield columns.take(path, rows, numbers)


def read_csv(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Read columns separated by commas; a field in quotation marks may hold commas, line ends and doubled quotes."""
    csv.field_size_limit(_MAX_CSV_FIELD)
    keep_empty_end = "," not in first_line(path)
    lines = chain.from_iterable(read_line_chunks(path, chunk_rows, keep_empty_end))
    numbered = _numbered_csv_rows(path, csv.reader((line + "\n" for line in lines), strict=True))
    _, header = next(numbered)
    columns = _find_columns(path, header, layout)
    while chunk := list(islice(numbered, chunk_rows)):
        numbers, rows = [number for number, _ in chunk], [row for _, row in chunk]
        if len(header) == 1:
            rows = [row or [""] for row in rows]  # csv takes an empty line for a row without columns
        _check_widths(path, rows, numbers, len(header), "separated by commas")
        yield columns.take(path, rows, numbers)


def read_json_lines(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Read one JSON object a line; the first one tells whether an optional label or index is there."""
    has_targets = has_indices = False
    number = 1
    for lines in read_line_chunks(path, chunk_rows):
        numbers = range(number, number + len(lines))
        objects = [_parse_object(path, number, line) for number, line in zip(numbers, lines, strict=True)]
        if number == 1:
            has_targets = layout.has_label(objects[0])
            has_indices = layout.has_index(objects[0])
        number += len(lines)

        def column(key: str | int | None, convert: Callable[[Any], str | None]) -> list[str]:
            return _json_column(path, numbers, objects, str(key), layout, convert)  # noqa: B023  # called at once

        texts = tuple(column(name, _text) for name in layout.text_columns)
        target = _optional_target if layout.label_is_optional else _target
        targets = column(layout.label_column, target) if has_targets else None
        indices = column(layout.index_column, _target) if has_indices else None
        yield RawRows(str(path), numbers, texts, targets, indices=indices)


def read_text_semicolon_label(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Read lines `text;label` without a header, as the emotion set has them; a text may hold semicolons."""
    number = 1
    for lines in read_line_chunks(path, chunk_rows):
        rows = [line.rsplit(";", 1) for line in lines]
        numbers = range(number, number + len(rows))
        _check_widths(path, rows, numbers, 2, "text;label")
        number += len(rows)
        yield _Columns((0,), 1, None).take(path, rows, numbers)


READERS: dict[str, Callable[[Path, Layout, int], Iterator[RawRows]]] = {
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".txt": read_text_semicolon_label,
}


def first_line(path: Path) -> str:
    """Return the first line of a text file, without its end.

    Raises:
        UserError: As `read_line_chunks`.
    """
    return next(read_line_chunks(path, 1))[0]


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns that are read; None for one that the file does not have."""

    texts: tuple[int, ...]
    target: int | None
    index: int | None

    def take(self, path: Path, rows: list[list[str]], numbers: Sequence[int]) -> RawRows:
        texts = tuple([row[column] for row in rows] for column in self.texts)
        targets = None if self.target is None else [row[self.target] for row in rows]
        indices = None if self.index is None else [row[self.index] for row in rows]
        return RawRows(str(path), numbers, texts, targets, indices=indices)


def _find_columns(path: Path, header: list[str], layout: Layout) -> _Columns:
    def find(column: str | int | None) -> int:
        return column if isinstance(column, int) else _find_column(path, header, str(column), layout.header_remedy)

    texts = tuple(find(column) for column in layout.text_columns)
    index = find(layout.index_column) if layout.has_index(header) else None
    return _Columns(texts, find(layout.label_column) if layout.has_label(header) else None, index)


def _find_column(path: Path, header: list[str], column: str, remedy: str) -> int:
    if header.count(column) != 1:
        problem = "no column" if column not in header else "more than one column"
        raise UserError(
            f"{path}, line 1: {problem} named {column!r}. Expected it once in the header, which has: "
            f"{list_names(header)}. {remedy}"
        )
    return header.index(column)


def list_names(names: Iterable[str]) -> str:
    """Return names as a list for messages, quoted, so that white space around one is seen."""
    return shorten(", ".join(map(repr, names)))


def _check_widths(path: Path, rows: Iterable[list[str]], numbers: Sequence[int], expected: int, how: str) -> None:
    """Every row must have the `expected` number of columns."""
    for index, row in enumerate(rows):
        if len(row) != expected:
            lone_cr = "It holds carriage returns: if these are line ends, convert them to LF. "
            raise UserError(
                f"{path}, line {numbers[index]}: expected {expected} columns {how}, found {len(row)}. "
                f"{lone_cr if any(chr(13) in cell for cell in row) else ''}{REMEDY}"
            )


def _check_indices(rows: RawRows, first: int, layout: Layout) -> None:
    """Predictions are numbered from 0 in the order of the rows: an index column must say the same."""
    for row, index in enumerate(rows.indices or ()):
        if index != str(first + row):
            way_out = (
                "or rename the column: one of another name is not looked at."
                if layout.index_is_optional
                else "or, where the indices are your own, use TASK=custom and give the column another name."
            )
            raise UserError(
                f"{rows.where(row)}: {layout.index_column!r} is {shorten(repr(index), 40)}, expected {first + row}. "
                "Predictions are numbered from 0 in the order of the test data, as GLUE wants them, so other indices "
                f"would name other examples. Number the rows anew, {way_out}"
            )


def _numbered_csv_rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line where each begins."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}, line {line}: not valid CSV ({error}). Expected fields with a comma, a line end or a "
                f'quotation mark inside to stand in "…", and a quotation mark there to be doubled. {REMEDY}'
            ) from None
        yield line, row


def _parse_object(path: Path, number: int, line: str) -> dict[str, Any]:
    value = parse_json(line, path, number, "Expected one object a line.")
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, found {shorten(repr(line), 60)}.")
    return value


def _json_column(
    path: Path,
    numbers: Sequence[int],
    objects: list[dict[str, Any]],
    key: str,
    layout: Layout,
    convert: Callable[[Any], str | None],
) -> list[str]:
    """The values of a key as strings; `convert` returns None for what does not fit."""
    column = []
    for number, values in zip(numbers, objects, strict=True):
        if key not in values:
            raise UserError(
                f"{path}, line {number}: no key {key!r}. Expected it in every object; this one has: "
                f"{list_names(values)}. {layout.header_remedy}"
            )
        string = convert(values[key])
        if string is None:
            kinds = "a text" if convert is _text else "a text or a number"
            shown = shorten(json.dumps(values[key], ensure_ascii=False), 60)
            raise UserError(f"{path}, line {number}: {key!r} is {shown}. Expected {kinds}. {REMEDY}")
        column.append(string)
    return column


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _target(value: Any) -> str | None:
    """A label or score as it would stand in a TSV file."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return _text(value)


def _optional_target(value: Any) -> str | None:
    return "" if value is None else _target(value)
