"""Readers of rows of strings, in chunks, from TSV (as in GLUE), CSV and JSON lines. A bad row stops the reading."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.storage.files import check_first_line, read_line_chunks
from power_bert.text.task import ColumnLayout
from power_bert_runtime.parsing import parse_json

# Enough for reader and tokenizer to run at full speed, but little memory.
CHUNK_ROWS = 8192
REMEDY = "Correct the line or download the file again."
# The csv module limits a field to 128 KiB. Long texts are truncated by the tokenizer, not rejected.
_MAX_CSV_FIELD = 2**31 - 1

# Lines of some rows, and the cells of each row.
NumberedRows = tuple[Sequence[int], list[list[str]]]


@dataclass(frozen=True)
class RawRows:
    """Consecutive rows of one source, as strings.

    Attributes:
        source: Path of the file, or another name of the source.
        numbers: Position of each row in the source, such as the line of a file, (rows,).
        texts: One or two columns of texts, each (rows,).
        targets: Labels or scores, (rows,); None if the source has none.
        unit: What `numbers` counts.
        indices: Index column, (rows,); None if the source has none.
    """

    source: str
    numbers: Sequence[int]
    texts: tuple[list[str], ...]
    targets: list[str] | None
    unit: str = "line"
    indices: list[str] | None = None

    def where(self, row: int) -> str:
        """Return the position of a row, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"


def read_rows(path: Path, layout: ColumnLayout, chunk_rows: int) -> Iterator[RawRows]:
    """Read a `.tsv`, `.csv` or `.jsonl` file in chunks, so that memory does not grow with the file.

    Args:
        path: Path of the file.
        layout: Columns of the file, or keys of its objects.
        chunk_rows: Largest number of rows per chunk.

    Raises:
        UserError: The file does not match the layout; the message names the line.
    """
    check_first_line(path, first_line(path))
    num_rows = 0
    for rows in READERS[path.suffix](path, layout, chunk_rows):
        _check_indices(rows, num_rows, layout)
        num_rows += len(rows.numbers)
        yield rows
    if num_rows == 0:
        raise UserError(f"{path}: no rows after the header. Expected at least one; download the file again.")


def read_tsv(path: Path, layout: ColumnLayout, chunk_rows: int) -> Iterator[RawRows]:
    """Read tab-separated columns without quoting: a quotation mark is an ordinary character."""
    header, chunks = open_tsv(path, chunk_rows, layout.num_columns)
    columns = _find_columns(path, header, layout)
    for numbers, rows in chunks:
        yield columns.take(path, rows, numbers)


def open_tsv(path: Path, chunk_rows: int, num_columns: int | None = None) -> tuple[list[str], Iterator[NumberedRows]]:
    """Return the header of a TSV file, [] if `num_columns` says that there is none, and its rows in chunks."""
    has_header = num_columns is None
    header = first_line(path).split("\t") if has_header else []

    def chunks() -> Iterator[NumberedRows]:
        width, number = num_columns or len(header), 1
        for lines in read_line_chunks(path, chunk_rows, keep_empty_end=width == 1):
            rows, numbers = [line.split("\t") for line in lines], range(number, number + len(lines))
            _check_widths(path, rows, numbers, width, "separated by tabs")
            if number == 1 and has_header:
                rows, numbers = rows[1:], numbers[1:]
            number += len(lines)
            if rows:
                yield numbers, rows

    return header, chunks()


def read_csv(path: Path, layout: ColumnLayout, chunk_rows: int) -> Iterator[RawRows]:
    """Read columns as `open_csv` does."""
    header, chunks = open_csv(path, chunk_rows)
    columns = _find_columns(path, header, layout)
    for numbers, rows in chunks:
        yield columns.take(path, rows, numbers)


def open_csv(path: Path, chunk_rows: int) -> tuple[list[str], Iterator[NumberedRows]]:
    """Return the header of a CSV file and its rows in chunks.

    A quoted field may hold commas, line ends and doubled quotation marks. Where the header has semicolons and no comma,
    as spreadsheets write it in countries with a decimal comma, semicolons separate the columns.
    """
    csv.field_size_limit(_MAX_CSV_FIELD)
    first = first_line(path)
    delimiter, name = (";", "semicolons") if ";" in first and "," not in first else (",", "commas")
    lines = chain.from_iterable(read_line_chunks(path, chunk_rows, keep_empty_end=delimiter not in first))
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    numbered = _numbered_csv_rows(path, reader)
    _, header = next(numbered)

    def chunks() -> Iterator[NumberedRows]:
        while chunk := list(islice(numbered, chunk_rows)):
            numbers, rows = [number for number, _ in chunk], [row for _, row in chunk]
            if len(header) == 1:
                rows = [row or [""] for row in rows]  # csv reads an empty line as a row without columns
            _check_widths(path, rows, numbers, len(header), f"separated by {name}")
            yield numbers, rows

    return header, chunks()


def read_json_lines(path: Path, layout: ColumnLayout, chunk_rows: int) -> Iterator[RawRows]:
    """Read one JSON object per line; the first one decides whether an optional label or index exists."""
    has_targets = has_indices = is_known = False
    for numbers, objects in read_objects(path, chunk_rows):
        if not is_known:
            has_targets, has_indices, is_known = layout.has_label(objects[0]), layout.has_index(objects[0]), True

        def column(key: str | int | None, convert: Callable[[Any], str | None]) -> list[str]:
            return _json_column(path, numbers, objects, str(key), layout, convert)  # noqa: B023  # called at once

        texts = tuple(column(name, _text) for name in layout.text_columns)
        target = _optional_target if layout.label_is_optional else _target
        targets = column(layout.label_column, target) if has_targets else None
        indices = column(layout.index_column, _target) if has_indices else None
        yield RawRows(str(path), numbers, texts, targets, indices=indices)


def read_objects(path: Path, chunk_rows: int) -> Iterator[tuple[Sequence[int], list[dict[str, Any]]]]:
    """Yield the objects of a file of JSON lines in chunks, with their line numbers."""
    number = 1
    for lines in read_line_chunks(path, chunk_rows):
        numbers = range(number, number + len(lines))
        yield numbers, [_parse_object(path, number, line) for number, line in zip(numbers, lines, strict=True)]
        number += len(lines)


def read_text_semicolon_label(path: Path, layout: ColumnLayout, chunk_rows: int) -> Iterator[RawRows]:
    """Read lines `text;label` without a header, the format of the emotion set; a text may hold semicolons."""
    number = 1
    for lines in read_line_chunks(path, chunk_rows):
        rows = [line.rsplit(";", 1) for line in lines]
        numbers = range(number, number + len(rows))
        _check_widths(path, rows, numbers, 2, "text;label")
        number += len(rows)
        yield _Columns((0,), 1, None).take(path, rows, numbers)


READERS: dict[str, Callable[[Path, ColumnLayout, int], Iterator[RawRows]]] = {
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".txt": read_text_semicolon_label,
}


def first_line(path: Path) -> str:
    """Return the first line of a text file, without its line end.

    Raises:
        UserError: The file is missing, unreadable, empty or not UTF-8.
    """
    return next(read_line_chunks(path, 1))[0]


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns to read; None for a column that the file does not have."""

    texts: tuple[int, ...]
    target: int | None
    index: int | None

    def take(self, path: Path, rows: list[list[str]], numbers: Sequence[int]) -> RawRows:
        texts = tuple([row[column] for row in rows] for column in self.texts)
        targets = None if self.target is None else [row[self.target] for row in rows]
        indices = None if self.index is None else [row[self.index] for row in rows]
        return RawRows(str(path), numbers, texts, targets, indices=indices)


def _find_columns(path: Path, header: list[str], layout: ColumnLayout) -> _Columns:
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
    """Return names as a quoted list for messages, so that white space around a name is visible."""
    return shorten(", ".join(map(repr, names)))


def _check_widths(path: Path, rows: Iterable[list[str]], numbers: Sequence[int], expected: int, how: str) -> None:
    """Raise a `UserError` for the first row without the `expected` number of columns."""
    for index, row in enumerate(rows):
        if len(row) != expected:
            lone_cr = "It holds carriage returns: if these are line ends, convert them to LF. "
            raise UserError(
                f"{path}, line {numbers[index]}: expected {expected} column{'' if expected == 1 else 's'} {how}, found "
                f"{len(row)}. "
                f"{lone_cr if any(chr(13) in cell for cell in row) else ''}{REMEDY}"
            )


def _check_indices(rows: RawRows, first: int, layout: ColumnLayout) -> None:
    """Raise a `UserError` if the index column does not count the rows from 0, as predictions do."""
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
    """Yield rows with the number of their first line."""
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
    value = parse_json(line, path, number, "Expected one object per line.")
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, found {shorten(repr(line), 60)}.")
    return value


def _json_column(
    path: Path,
    numbers: Sequence[int],
    objects: list[dict[str, Any]],
    key: str,
    layout: ColumnLayout,
    convert: Callable[[Any], str | None],
) -> list[str]:
    """Return the values of a key as strings; `convert` returns None for a value of the wrong type."""
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


def text_of(value: Any) -> str | None:
    """Return a value of a JSON object as a TSV file would hold it, null as ""; None for a list or an object."""
    return _optional_target(value)


def _target(value: Any) -> str | None:
    """Return a label or score as a TSV file would hold it."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return _text(value)


def _optional_target(value: Any) -> str | None:
    return "" if value is None else _target(value)
