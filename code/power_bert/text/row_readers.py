"""Files to rows of strings, chunk by chunk: TSV as GLUE has it, CSV and JSON lines. A bad row stops the reading."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.files import read_line_chunks
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
    """

    source: str
    numbers: Sequence[int]
    texts: tuple[list[str], ...]
    targets: list[str] | None
    unit: str = "line"

    def where(self, row: int) -> str:
        """Where a row of these stands, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"


def read_rows(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Reads a file by its ending: `.tsv`, `.csv` or `.jsonl`; memory does not grow with the file.

    Args:
        path: The file.
        layout: Its columns, or the keys of its objects.
        chunk_rows: Rows yielded at once, at most.

    Raises:
        UserError: The file is not as the layout says; names the line.
    """
    num_rows = 0
    for rows in READERS[path.suffix](path, layout, chunk_rows):
        num_rows += len(rows.numbers)
        yield rows
    if num_rows == 0:
        raise UserError(f"{path}: no rows after the header. Expected at least one; download the file again.")


def read_tsv(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Reads columns separated by tabs, with quoting off: a quotation mark is a character as any other."""
    chunks = read_line_chunks(path, chunk_rows)
    first_line, header = 1, None
    columns = None if layout.has_header else _find_columns(path, [], layout)
    num_columns = layout.num_columns or 0
    for lines in chunks:
        if columns is None:
            header, *lines = lines
            first_line, columns = 2, _find_columns(path, header.split("\t"), layout)
            num_columns = header.count("\t") + 1
        rows = [line.split("\t") for line in lines]
        numbers = range(first_line, first_line + len(rows))
        _check_widths(path, rows, numbers, num_columns, "separated by tabs")
        first_line += len(rows)
        if rows:
            yield columns.take(path, rows, numbers)


def read_csv(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Reads columns separated by commas; a field in quotation marks may hold commas, line ends and doubled quotes."""
    csv.field_size_limit(_MAX_CSV_FIELD)
    lines = (line + "\n" for line in chain.from_iterable(read_line_chunks(path, chunk_rows)))
    reader = csv.reader(lines, strict=True)
    numbered = _numbered_csv_rows(path, reader)
    _, header = next(numbered)
    columns = _find_columns(path, header, layout)
    while chunk := list(islice(numbered, chunk_rows)):
        numbers, rows = [number for number, _ in chunk], [row for _, row in chunk]
        _check_widths(path, rows, numbers, len(header), "separated by commas")
        yield columns.take(path, rows, numbers)


def read_json_lines(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Reads one JSON object a line."""
    has_targets: bool | None = None
    first_line = 1
    for lines in read_line_chunks(path, chunk_rows):
        numbers = range(first_line, first_line + len(lines))
        first_line += len(lines)
        objects = [_parse_object(path, number, line) for number, line in zip(numbers, lines, strict=True)]
        if has_targets is None:  # the first object tells whether an optional label is there
            has_targets = not layout.label_is_optional or layout.label_column in objects[0]
        texts = tuple(_json_column(path, numbers, objects, str(name), layout, _text) for name in layout.text_columns)
        targets = None
        if has_targets and layout.label_column is not None:
            targets = _json_column(path, numbers, objects, str(layout.label_column), layout, _target)
        yield RawRows(str(path), numbers, texts, targets)


def read_text_semicolon_label(path: Path, layout: Layout, chunk_rows: int) -> Iterator[RawRows]:
    """Reads lines `text;label` without a header, as the emotion set has them; a text may hold semicolons."""
    first_line = 1
    for lines in read_line_chunks(path, chunk_rows):
        rows = [line.rsplit(";", 1) for line in lines]
        numbers = range(first_line, first_line + len(rows))
        _check_widths(path, rows, numbers, 2, "text;label")
        first_line += len(rows)
        yield _Columns((0,), 1).take(path, rows, numbers)


READERS: dict[str, Callable[[Path, Layout, int], Iterator[RawRows]]] = {
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".txt": read_text_semicolon_label,
}


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns that are read."""

    texts: tuple[int, ...]
    target: int | None

    def take(self, path: Path, rows: list[list[str]], numbers: Sequence[int]) -> RawRows:
        texts = tuple([row[column] for row in rows] for column in self.texts)
        targets = None if self.target is None else [row[self.target] for row in rows]
        return RawRows(str(path), numbers, texts, targets)


def _find_columns(path: Path, header: list[str], layout: Layout) -> _Columns:
    remedy = layout.header_remedy
    texts = tuple(_find_column(path, header, column, remedy) for column in layout.text_columns)
    if layout.index_column is not None:
        _find_column(path, header, layout.index_column, remedy)
    if layout.label_column is None or (layout.label_is_optional and layout.label_column not in header):
        return _Columns(texts, None)
    return _Columns(texts, _find_column(path, header, layout.label_column, remedy))


def _find_column(path: Path, header: list[str], column: str | int, remedy: str) -> int:
    """The position of a column, given by its header name or already as a position."""
    if isinstance(column, int):
        return column
    if header.count(column) != 1:
        problem = "no column" if column not in header else "more than one column"
        raise UserError(
            f"{path}, line 1: {problem} named {column!r}. Expected it once in the header, which has: "
            f"{', '.join(map(repr, header))}. {remedy}"
        )
    return header.index(column)


def _check_widths(path: Path, rows: Iterable[list[str]], numbers: Sequence[int], expected: int, how: str) -> None:
    """Every row must have the `expected` number of columns."""
    for index, row in enumerate(rows):
        if len(row) != expected:
            raise UserError(
                f"{path}, line {numbers[index]}: expected {expected} columns {how}, found {len(row)}. {REMEDY}"
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
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not valid JSON ({error.msg}). Expected one object a line.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}.")
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
                f"{', '.join(map(repr, values))}. {layout.header_remedy}"
            )
        string = convert(values[key])
        if string is None:
            kinds = "a text" if convert is _text else "a text or a number"
            shown = json.dumps(values[key], ensure_ascii=False)[:40]
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
