"""Files of texts without labels: one text per line, or a table with a column of texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from power_bert.errors import UserError, shorten
from power_bert.text.column_guess import check_columns, column_names, guess_text_column, has_usual_text_column
from power_bert.text.examples import Examples
from power_bert.text.raw_texts import stream_raw_examples
from power_bert.text.row_readers import first_line, list_names, text_of
from power_bert.text.table_rows import TABLE_ENDINGS, TableChunk, read_table
from power_bert.text.task import Task

_OPTION = "--text-column"


@dataclass(frozen=True)
class TextChunk:
    """Consecutive texts of a file.

    Attributes:
        examples: The texts.
        table: Their rows with all columns; None for a file of one text per line.
    """

    examples: Examples
    table: TableChunk | None = None


def find_text_columns(path: Path, task: Task | None, asked: Sequence[str] = ()) -> tuple[tuple[str, ...], bool]:
    """Find the columns of a table that hold the texts.

    A `.csv` or `.jsonl` file is a table, and so is a `.tsv` file whose first line has the task's columns or one of a
    usual name. In any other file each line is a text; for pairs, two texts separated by a tab.

    Args:
        path: Path of the file.
        task: Task of the texts, whose columns count if they are there; None if it is not known.
        asked: Columns that the user names.

    Returns:
        One column, or two for pairs, and whether it was guessed; () for a file of one text per line.

    Raises:
        UserError: The columns are not there, or are not clear.
    """
    if path.suffix not in TABLE_ENDINGS:
        if asked:
            raise UserError(f"{path}: {_OPTION} is for tables, which end in {', '.join(TABLE_ENDINGS)}; leave it out")
        return (), False
    if asked:
        check_columns(path, asked, _OPTION)
        _check_number(path, task, asked)
        return tuple(asked), False
    of_task = () if task is None else tuple(map(str, task.test_layout.text_columns))
    names = first_line(path).split("\t") if path.suffix == ".tsv" else column_names(path)
    if of_task and set(of_task) <= set(names):
        return of_task, False
    if path.suffix == ".tsv" and not has_usual_text_column(names):
        return (), False
    if task is not None and task.is_pair:
        raise UserError(
            f"{path}: no columns {' and '.join(map(repr, of_task))}, as in the data of {task.name}; it has "
            f"{list_names(names)}. Give {_OPTION} first,second with the names of two"
        )
    return (guess_text_column(path, (), f"{_OPTION} "),), True


def _check_number(path: Path, task: Task | None, columns: Sequence[str]) -> None:
    wanted = {1, 2} if task is None else {2} if task.is_pair else {1}
    if len(columns) not in wanted:
        raise UserError(
            f"{path}: {_OPTION} {','.join(columns)} names {len(columns)} columns, and an example has "
            f"{' or '.join(map(str, sorted(wanted)))}"
        )


def stream_text_file(path: Path, columns: Sequence[str], is_pair: bool | None) -> Iterator[TextChunk]:
    """Read texts in chunks.

    Args:
        path: Path of the file.
        columns: Result of `find_text_columns`.
        is_pair: Whether a line of a file without columns holds two texts; None lets the first line decide.

    Raises:
        UserError: A line is bad.
        OSError: A file without columns cannot be read.
    """
    if not columns:
        with open(path, "rb") as file:
            for examples in stream_raw_examples(file, str(path), is_pair):
                yield TextChunk(examples)
        return
    for chunk in read_table(path):
        texts = [_texts(chunk, column) for column in columns]
        yield TextChunk(Examples(texts[0], texts[1] if len(texts) > 1 else None, None), chunk)


def _texts(chunk: TableChunk, column: str) -> list[str]:
    texts = []
    for number, row in zip(chunk.numbers, chunk.rows, strict=True):
        text = text_of(row.get(column))
        if column not in row or text is None:
            found = shorten(repr(row[column]), 60) if column in row else f"no such key, only {list_names(row)}"
            raise UserError(f"{chunk.source}, line {number}: expected a text under {column!r}, found {found}")
        texts.append(text)
    return texts
