"""Streaming output of predictions: GLUE files, or labels with probabilities as TSV, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np
from rich.console import Console

from power_bert.errors import UserError
from power_bert.predict.example_predictor import ExamplePredictor
from power_bert.predict.rows_progress import rows_progress
from power_bert.predict.usable_model import UsableModel
from power_bert.storage.files import atomic_file
from power_bert.text.examples import stream_examples
from power_bert.text.predictions import prediction_lines
from power_bert.text.raw_texts import RawFile, stream_raw_examples
from power_bert.text.row_readers import text_of
from power_bert.text.table_rows import TableChunk
from power_bert.text.task import Split, Task
from power_bert.text.text_files import TextChunk, find_text_columns, stream_text_file

if TYPE_CHECKING:
    from power_bert.runs.trained_model import TrainedModel

Format = Literal["glue", "tsv", "csv", "jsonl"]
_FORMATS = ("tsv", "csv", "jsonl")
ChunkRunner = Callable[[ExamplePredictor, Iterable[TextChunk], Format, Callable[[int], None]], Iterator[bytes]]


@contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open a file that appears when it is complete, or standard output; a pipe or device is written to directly.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        if path is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif path.exists() and not path.is_file():
            with open(path, "wb") as file:
                yield file
        else:
            with atomic_file(path) as file:
                yield file
    except OSError as error:
        if path is None:
            raise
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); give another --output") from None


@dataclass(frozen=True)
class ResultForm:
    """How results are written: label and probabilities, or the score, after the columns of the input, as they are.

    Where a column of the input has the name of a column of the results, that gets "predicted_" before its name.

    Attributes:
        names: Names of the classes; None for a regression.
        form: "tsv", "csv" or "jsonl".
        given: Columns of the input, in tsv and csv those of its first row; () for one text per line.
    """

    names: Sequence[str] | None
    form: Format
    given: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str] | None, form: Format, first: TextChunk) -> ResultForm:
        """Return the form of the results of an input whose first chunk is `first`."""
        return cls(names, form, tuple(first.table.rows[0]) if first.table else ())

    def header(self) -> bytes:
        """Return the line before the results; nothing in JSON lines."""
        if self.form == "jsonl":
            return b""
        columns = ["score"] if self.names is None else ["label", *(f"p({name})" for name in self.names)]
        return _cells([*self.given, *_unlike(columns, self.given)], self.form)

    def given_rows(self, chunk: TextChunk) -> list[Any]:
        """Return what is written of each row of the input: an object in JSON lines, else a list of cells.

        Raises:
            UserError: A row cannot be written in this form.
        """
        if self.form == "jsonl":
            return chunk.table.rows if chunk.table else [{}] * len(chunk.examples)
        return list(_given_cells(chunk.table, self.given, self.form)) if chunk.table else [[]] * len(chunk.examples)

    def lines(self, given_rows: Sequence[Any], results: np.ndarray) -> bytes:
        """Return a line for each of the `given_rows` and its result, (rows, outputs)."""
        if self.form == "jsonl":
            return b"".join(_objects(results, self.names, given_rows))
        rows = zip(given_rows, _result_cells(results, self.names), strict=True)
        return b"".join(_cells([*given, *cells], self.form) for given, cells in rows)


def result_chunks(
    predictor: ExamplePredictor, chunks: Iterable[TextChunk], form: Format, advance: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield the results of all examples as encoded text, after a header.

    Args:
        predictor: Predictor of the examples.
        chunks: Chunks of texts.
        form: "tsv", "csv" or "jsonl".
        advance: Progress callback, called with the number of examples of each chunk.
    """
    written = None
    for chunk in chunks:
        if written is None:
            written = ResultForm.of(predictor.names, form, chunk)
            yield written.header()
        yield written.lines(written.given_rows(chunk), predictor.probabilities(chunk.examples))
        advance(len(chunk.examples))
    if written is None:
        yield ResultForm(predictor.names, form).header()


def _unlike(columns: Sequence[str], given: Collection[str]) -> list[str]:
    return [f"predicted_{column}" if column in given else column for column in columns]


def _objects(results: np.ndarray, names: Sequence[str] | None, given_rows: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    for given, outputs in zip(given_rows, results, strict=True):
        if names is None:
            values: list[Any] = [round(float(outputs[0]), 6)]
        else:
            probabilities = dict(zip(names, (round(float(p), 6) for p in outputs), strict=True))
            values = [names[int(outputs.argmax())], probabilities]
        keys = _unlike(["score"] if names is None else ["label", "probabilities"], given)
        yield (json.dumps(given | dict(zip(keys, values, strict=True)), ensure_ascii=False) + "\n").encode()


def _result_cells(results: np.ndarray, names: Sequence[str] | None) -> Iterator[list[str]]:
    for outputs in results:
        if names is None:
            yield [f"{outputs[0]:.6g}"]
        else:
            yield [names[int(outputs.argmax())], *(f"{probability:.6f}" for probability in outputs)]


def _given_cells(table: TableChunk, columns: Sequence[str], form: Format) -> Iterator[list[str]]:
    """Yield the given columns of each row as texts."""
    for number, row in zip(table.numbers, table.rows, strict=True):
        cells = [_cell(row.get(column, "")) for column in columns]
        where = f"{table.source}, line {number}"
        if new := [key for key in row if key not in columns]:
            raise UserError(f"{where}: {new[0]!r} is not in the first row, so there is no column for it; {_JSON}")
        if form == "tsv" and any(set(cell) & set("\t\r\n") for cell in cells):
            raise UserError(f"{where}: a tab or a line end in a value, which TSV cannot hold; {_JSON} or csv")
        yield cells


_JSON = "give --format jsonl"


def _cell(value: Any) -> str:
    text = text_of(value)
    return json.dumps(value, ensure_ascii=False) if text is None else text


def _cells(cells: Sequence[str], form: Format) -> bytes:
    """Write the cells of a row on a line."""
    if form == "tsv":
        return ("\t".join(cells) + "\n").encode()
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def predict_split(
    model: TrainedModel | UsableModel, split: Split, form: Format, output: Path | None, console: Console
) -> None:
    """Predict a split of the task's data, in the order of its rows.

    Args:
        model: Model that predicts.
        split: Split to predict.
        form: Output format; "glue" is ``index<TAB>prediction``.
        output: Output file; None for standard output.
        console: Console that shows progress.

    Raises:
        UserError: The data are missing or damaged, or the output cannot be written.
    """
    from power_bert.runs.trained_model import task_and_data  # imports Keras

    task, data_dir = task_and_data(model)
    chunks, predictor = stream_examples(task, split, data_dir), UsableModel.of(model).predictor
    with open_output(output) as file, rows_progress(console, f"predicting {task.name} {split}") as advance:
        if form == "glue":
            predictions = predictor.predictions(task, chunks, advance)
            file.writelines(prediction_lines(output or "standard output", task, predictions))
        else:
            file.writelines(result_chunks(predictor, map(TextChunk, chunks), form, advance))


def predict_raw_texts(
    model: TrainedModel | UsableModel,
    source: Path | None,
    form: Format | None,
    output: Path | None,
    console: Console,
    text_columns: Sequence[str] = (),
    run: ChunkRunner = result_chunks,
) -> None:
    """Predict one example per input line or row and write one result per line; each chunk is flushed.

    Args:
        model: Model that predicts; its task decides whether a line holds one text or two.
        source: Input file, in a format of `find_text_columns`; None for standard input, one text per line.
        form: "tsv", "csv" or "jsonl"; None takes the ending of the output file, or else that of a table.
        output: Output file; None for standard output.
        console: Console that shows progress, and which columns were guessed.
        text_columns: Columns of a table that hold the texts; empty to find them.
        run: What predicts the chunks and yields their results, as `result_chunks` does.

    Raises:
        UserError: The input cannot be read or a line is bad, or the output cannot be written.
    """
    usable = UsableModel.of(model)
    columns: tuple[str, ...] = ()
    if source is None and text_columns:
        raise UserError("--text-column is for a table; give its file as --input")
    if source is not None:
        columns, was_guessed = find_text_columns(source, usable.task, text_columns)
        if was_guessed:
            said = f"{source}: texts from column {columns[0]!r} (--text-column chooses another)"
            console.print(said, markup=False, highlight=False, soft_wrap=True)
    endings = [path.suffix[1:] for path in (output, source if columns else None) if path is not None]
    chosen = form or cast(Format, next((ending for ending in endings if ending in _FORMATS), "tsv"))
    with open_output(output) as file, rows_progress(console, "predicting") as advance:
        for data in run(usable.predictor, texts_to_predict(source, columns, usable.task), chosen, advance):
            file.write(data)
            file.flush()


def texts_to_predict(source: Path | None, columns: Sequence[str], task: Task | None) -> Iterator[TextChunk]:
    """Read the texts to predict, in chunks.

    Args:
        source: Input file; None for standard input.
        columns: Columns of a table (`find_text_columns`); () for one text per line.
        task: Task of the texts; None lets the first line decide whether there are pairs.

    Raises:
        UserError: The input cannot be read, or a line is bad.
    """
    is_pair = None if task is None else task.is_pair
    if source is None:
        yield from map(TextChunk, stream_raw_examples(cast(RawFile, sys.stdin.buffer), "standard input", is_pair))
        return
    try:
        yield from stream_text_file(source, columns, is_pair)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror}); give another --input") from None
