"""Prediction of raw texts as an Apache Beam job, for files that are too large for one machine.

The input is read, checked and divided into chunks before the job starts: quoted line ends of CSV files, line numbers
and the order of rows need a reader that starts at the beginning, and reading is much faster than prediction. The key
of a chunk is its number. Every worker needs this package, and must see the exported file and the folder of the output
under the same paths.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference

from power_bert.beam_jobs import beam_pipeline
from power_bert.errors import UserError
from power_bert.predict.example_predictor import ExamplePredictor
from power_bert.predict.exported_predictor import ExportedPredictor
from power_bert.predict.prediction_output import ChunkRunner, Format, ResultForm
from power_bert.storage.files import atomic_write_bytes, scratch_folder
from power_bert.text.examples import Examples
from power_bert.text.text_files import TextChunk
from power_bert_runtime import Classifier


@dataclass(frozen=True)
class _Chunk:
    """A chunk of the input: its examples, and what is written of each of its rows."""

    examples: Examples
    given_rows: list[Any]


class ClassifierHandler(ModelHandler[_Chunk, PredictionResult, ExportedPredictor]):
    """Handler of RunInference for exported files; an element is a chunk of texts, which the runtime batches by length.

    Args:
        path: Exported file.
        threads: CPU threads of each process that predicts.
    """

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._path, self._threads = path, threads

    def load_model(self) -> ExportedPredictor:
        return ExportedPredictor(Classifier(self._path, threads=self._threads))

    def run_inference(
        self, batch: Sequence[_Chunk], model: ExportedPredictor, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        return [PredictionResult(chunk, model.probabilities(chunk.examples)) for chunk in batch]


def beam_runner(path: Path, output: Path | None, threads: int, options: Sequence[str]) -> ChunkRunner:
    """Return what predicts chunks as a Beam job, in place of `result_chunks`.

    Args:
        path: Exported file.
        output: Output file; the chunks lie in a hidden folder beside it while the job runs.
        threads: CPU threads of each process that predicts.
        options: Options of the Beam job.

    Raises:
        UserError: The output is no file.
    """
    if output is None or (output.exists() and not output.is_file()):
        raise UserError("--runner beam collects the results of its workers beside the output; give a file as --output")
    return partial(_run, ClassifierHandler(path.absolute(), threads), output, options)


def _run(
    handler: ClassifierHandler,
    output: Path,
    options: Sequence[str],
    predictor: ExamplePredictor,
    chunks: Iterable[TextChunk],
    form: Format,
    advance: Callable[[int], None],
) -> Iterator[bytes]:
    """Yield the results of all chunks, in their order, when the job is done."""
    results, sizes = ResultForm(predictor.names, form), list[int]()
    with scratch_folder(output) as folder:
        for number, chunk in enumerate(chunks):
            if number == 0:
                results = ResultForm.of(predictor.names, form, chunk)
            stored = _Chunk(chunk.examples, results.given_rows(chunk))
            _chunk_file(folder, number).write_bytes(pickle.dumps(stored))
            sizes.append(len(chunk.examples))
        with beam_pipeline(options) as pipeline:
            (
                pipeline
                | "numbers" >> beam.Create(range(len(sizes)))
                | "spread the chunks" >> beam.Reshuffle()
                | "chunks" >> beam.Map(partial(_read, folder=folder))
                | "predictions" >> RunInference(KeyedModelHandler(handler))
                | "results" >> beam.Map(partial(_write, folder=folder, form=results))
            )
        yield results.header()
        for number, size in enumerate(sizes):
            yield _result_file(folder, number).read_bytes()
            advance(size)


def _read(number: int, folder: Path) -> tuple[int, _Chunk]:
    return number, pickle.loads(_chunk_file(folder, number).read_bytes())


def _write(numbered: tuple[int, PredictionResult], folder: Path, form: ResultForm) -> None:
    """Write the results of a chunk; a repeated attempt replaces them."""
    number, result = numbered
    atomic_write_bytes(
        _result_file(folder, number), form.lines(result.example.given_rows, np.asarray(result.inference))
    )


def _chunk_file(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.chunk"


def _result_file(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.result"
