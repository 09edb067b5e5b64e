"""Predictions written as they are made: GLUE files, or labels with probabilities as TSV or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
from rich.console import Console
from scipy.special import softmax

from power_bert.errors import UserError
from power_bert.files import atomic_file
from power_bert.text.examples import Examples, stream_examples
from power_bert.text.predictions import prediction_lines
from power_bert.text.raw_texts import RawFile, stream_raw_examples
from power_bert.text.task import Split, Task
from power_bert.text.text_files import stream_text_file
from power_bert.train.predict import Predictor
from power_bert.train.rows_progress import rows_progress
from power_bert.train.trained_model import TrainedModel, task_and_data

Format = Literal["glue", "tsv", "jsonl"]


@contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """A file that appears when it is complete, or standard output; a pipe or device is written to directly.

    Raises:
        UserError: the file cannot be written.
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


def result_chunks(
    model: TrainedModel, chunks: Iterable[Examples], form: Format, advance: Callable[[int], None]
) -> Iterator[bytes]:
    """Label and probabilities of every example, or the score, as text, chunk by chunk; the first one has the header.

    Args:
        model: what predicts.
        chunks: the examples.
        form: "tsv" or "jsonl".
        advance: told the examples of each chunk.
    """
    predictor = Predictor(model.classifier, model.max_length)
    names = _names(model)
    if form == "tsv":
        header = ["score"] if names is None else ["label", *(f"p({name})" for name in names)]
        yield _line("\t".join(header))
    for examples in chunks:
        outputs = predictor.outputs(examples).astype(np.float64)
        yield b"".join(_rows(outputs, names, form))
        advance(len(examples))


def _names(model: TrainedModel) -> Sequence[str] | None:
    """Names of the classes; None for a regressor."""
    if model.classifier.is_regressor:
        return None
    return model.classifier.labels or [str(index) for index in range(model.classifier.num_classes)]


def _rows(outputs: np.ndarray, names: Sequence[str] | None, form: Format) -> Iterator[bytes]:
    if names is None:
        for score in outputs[:, 0]:
            yield _line(f"{score:.6g}" if form == "tsv" else json.dumps({"score": round(score, 6)}))
        return
    for probabilities in softmax(outputs, axis=-1):
        label = names[int(probabilities.argmax())]
        if form == "tsv":
            yield _line("\t".join([label, *(f"{probability:.6f}" for probability in probabilities)]))
        else:
            rounded = dict(zip(names, (round(float(p), 6) for p in probabilities), strict=True))
            yield _line(json.dumps({"label": label, "probabilities": rounded}, ensure_ascii=False))


def _line(text: str) -> bytes:
    return (text + "\n").encode()


def predict_split(model: TrainedModel, split: Split, form: Format, output: Path | None, console: Console) -> None:
    """Predict a split of the task's data, in the order of its rows.

    Args:
        model: what predicts.
        split: of the data.
        form: of the output; "glue" is ``index<TAB>prediction``.
        output: a file, or None for standard output.
        console: for the progress.

    Raises:
        UserError: the data are missing or damaged, or the output cannot be written.
    """
    task, data_dir = task_and_data(model)
    chunks = stream_examples(task, split, data_dir)
    with open_output(output) as file, rows_progress(console, f"predicting {task.name} {split}") as advance:
        if form == "glue":
            predictor = Predictor(model.classifier, model.max_length)
            predictions = predictor.predictions(task, chunks, advance)
            file.writelines(prediction_lines(output or "standard output", task, predictions))
        else:
            file.writelines(result_chunks(model, chunks, form, advance))


def predict_raw_texts(
    model: TrainedModel, source: Path | None, form: Format, output: Path | None, console: Console
) -> None:
    """Predict one example a line or row, and write one a line; a chunk is answered as soon as it is read.

    Args:
        model: what predicts; its task says whether a line has one text or two.
        source: a file as `stream_text_file` reads it, or None for standard input.
        form: "tsv" or "jsonl".
        output: a file, or None for standard output.
        console: for the progress.

    Raises:
        UserError: the input cannot be read or a line is bad, or the output cannot be written.
    """
    with open_output(output) as file, rows_progress(console, "predicting") as advance:
        for data in result_chunks(model, _texts(source, model.task), form, advance):
            file.write(data)
            file.flush()


def _texts(source: Path | None, task: Task | None) -> Iterator[Examples]:
    if source is None:
        is_pair = None if task is None else task.is_pair
        yield from stream_raw_examples(cast(RawFile, sys.stdin.buffer), "standard input", is_pair)
        return
    try:
        yield from stream_text_file(source, task)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror}); give another --input") from None
