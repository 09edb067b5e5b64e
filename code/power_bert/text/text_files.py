"""Files of texts without labels: one text a line, or a table whose columns are the task's."""

from collections.abc import Iterator
from pathlib import Path

from power_bert.errors import UserError
from power_bert.text.examples import Examples
from power_bert.text.raw_texts import stream_raw_examples
from power_bert.text.row_readers import CHUNK_ROWS, first_line, read_rows
from power_bert.text.task import Layout, Task

_TABLES = (".csv", ".jsonl")


def stream_text_file(path: Path, task: Task | None) -> Iterator[Examples]:
    """Read texts chunk by chunk, without labels, whatever else the file holds.

    A `.csv` or `.jsonl` file is read by the task's columns or keys; so is a `.tsv` file whose first line names them.
    In any other file every line is a text; for pairs, two with a tab between.

    Args:
        path: The file.
        task: Names the columns and says whether an example is a pair; None where there is no task: the first line of a
            plain file then decides.

    Raises:
        UserError: A line is bad, or there is no task to name the columns of a table.
        OSError: A file of lines cannot be read.
    """
    if task is None and path.suffix in _TABLES:
        raise UserError(
            f"{path}: a table, but without a task it is not known which of its columns holds the texts. Give --task, "
            "or a file with one text a line."
        )
    if task is not None and _is_table(path, task):
        columns = task.test_layout.text_columns
        remedy = f"Expected texts under {' and '.join(map(repr, columns))}, as in the data of {task.name}; rename it."
        for rows in read_rows(path, Layout(columns, header_remedy=remedy), CHUNK_ROWS):
            yield Examples(rows.texts[0], rows.texts[1] if len(rows.texts) > 1 else None, None)
        return
    with open(path, "rb") as file:
        yield from stream_raw_examples(file, str(path), None if task is None else task.is_pair)


def _is_table(path: Path, task: Task) -> bool:
    if path.suffix != ".tsv":
        return path.suffix in _TABLES
    return set(task.test_layout.text_columns) <= set(first_line(path).split("\t"))
