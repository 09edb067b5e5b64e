"""Speed and memory of predicting a test set, on generated rows with the layout and lengths of QQP."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import keras
from rich.console import Console
from rich.table import Table

from power_bert.benchmarks.reading_speed import generate_questions, peak_memory
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.rows_progress import rows_progress
from power_bert.text.examples import stream_examples
from power_bert.text.glue_tasks import TASKS
from power_bert.text.predictions import write_prediction_chunks
from power_bert.text.row_readers import CHUNK_ROWS
from power_bert.text.tokenizer import WordPieceTokenizer

_QQP = TASKS["qqp"]
_MAX_LENGTH = _QQP.defaults.max_length
# By then all batch shapes have occurred, and everything that is kept between batches has been allocated.
_WARM_ROWS = 2 * CHUNK_ROWS
_MEGABYTE = 1e6


@dataclass(frozen=True)
class PredictingSpeed:
    """Speed and memory of predicting.

    Attributes:
        rows: Number of rows of the file, each with two sentences.
        seconds: Time from reading the first row to the complete prediction file.
        start_bytes: Peak memory of the process before, with the model loaded.
        warm_bytes: Peak memory after the first two chunks of rows.
        peak_bytes: Peak memory at the end.
    """

    rows: int
    seconds: float
    start_bytes: int
    warm_bytes: int
    peak_bytes: int


def measure_predicting(rows: int, vocabulary: Path, console: Console, seed: int = 0) -> PredictingSpeed:
    """Generate a test file of `rows` rows in a temporary folder and predict it to a GLUE file, as a run does.

    The model is a BERT of 2 blocks and hidden size 128 with random weights.

    Args:
        rows: Number of rows, at least 1.
        vocabulary: `vocab.txt` of an uncased BERT.
        console: Console for progress.
        seed: Random seed of the generated texts and the weights.
    """
    keras.utils.set_random_seed(seed)
    tokens = WordPieceTokenizer(vocabulary, lowercase=True).vocabulary
    predictor = Predictor(_tiny_classifier(tokens), _MAX_LENGTH)
    with tempfile.TemporaryDirectory() as folder:
        _write_test_rows(Path(folder) / "test.tsv", rows, tokens, seed)
        memory = {"start": peak_memory(), "warm": peak_memory()}
        done = 0
        started = time.perf_counter()
        with rows_progress(console, "predicting") as advance:

            def count(more: int) -> None:
                nonlocal done
                done += more
                if done <= _WARM_ROWS:
                    memory["warm"] = peak_memory()
                advance(more)

            chunks = stream_examples(_QQP, "test", folder)
            write_prediction_chunks(Path(folder) / "QQP.tsv", _QQP, predictor.predictions(_QQP, chunks, count))
        seconds = time.perf_counter() - started
    return PredictingSpeed(done, seconds, memory["start"], memory["warm"], peak_memory())


def predicting_table(speed: PredictingSpeed) -> Table:
    """Return the figures as a table for the console."""
    table = Table(title=f"{speed.rows:,} rows, BERT of 2 blocks × 128", title_justify="left", show_header=False)
    for name, value in (
        ("rows predicted per second", f"{speed.rows / speed.seconds:,.0f}"),
        ("peak memory before, model loaded", f"{speed.start_bytes / _MEGABYTE:,.0f} MB"),
        (f"peak memory after {_WARM_ROWS:,} rows", f"{speed.warm_bytes / _MEGABYTE:,.0f} MB"),
        ("peak memory at the end", f"{speed.peak_bytes / _MEGABYTE:,.0f} MB"),
    ):
        table.add_row(name, value)
    return table


def _tiny_classifier(tokens: list[str]) -> PowerBertTextClassifier:
    backbone = PowerBertBackbone(len(tokens), 2, 2, 128, 512, _MAX_LENGTH)
    preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(tokens), _MAX_LENGTH)
    return PowerBertTextClassifier(backbone, _QQP.num_outputs, preprocessor, _QQP.labels)


def _write_test_rows(path: Path, rows: int, tokens: list[str], seed: int) -> None:
    questions = generate_questions(tokens, seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("id\tquestion1\tquestion2\n")
        for row in range(rows):
            file.write(f"{row}\t{next(questions)}\t{next(questions)}\n")
