"""Rows of a table with all their columns: CSV, TSV with a header, or JSON lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.storage.files import check_first_line
from power_bert.text.row_readers import CHUNK_ROWS, first_line, list_names, open_csv, open_tsv, read_objects

TABLE_ENDINGS = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class TableChunk:
    """Consecutive rows of a table.

    Attributes:
        source: Path of the file.
        numbers: Line of each row, (rows,).
        rows: Column → value, (rows,): texts, or in JSON lines any value.
    """

    source: str
    numbers: Sequence[int]
    rows: list[dict[str, Any]]


def is_table_file(path: str | Path) -> bool:
    """Return whether a path names a table, and not a folder."""
    return Path(path).suffix in TABLE_ENDINGS and not Path(path).is_dir()


def read_table(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[TableChunk]:
    """Read a table in chunks, so that memory does not grow with the file.

    Raises:
        UserError: The file cannot be read, has no rows or two columns of one name, or a row is bad.
    """
    check_first_line(path, first_line(path))
    if path.suffix == ".jsonl":
        for numbers, objects in read_objects(path, chunk_rows):
            yield TableChunk(str(path), numbers, objects)
        return
    header, chunks = (open_csv if path.suffix == ".csv" else open_tsv)(path, chunk_rows)
    if len(set(header)) < len(header):
        raise UserError(f"{path}, line 1: two columns have the same name. Rename one of {list_names(header)}.")
    is_empty = True
    for numbers, rows in chunks:
        is_empty = False
        yield TableChunk(str(path), numbers, [dict(zip(header, row, strict=True)) for row in rows])
    if is_empty:
        raise UserError(f"{path}: no rows after the header. Expected at least one.")
