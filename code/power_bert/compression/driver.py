"""The job of `bash run.sh compress`: train a finished student on while it is pruned or clustered."""

from __future__ import annotations

import csv
import dataclasses
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from power_bert.compression.weights import SMALLEST_WEIGHT, compressible, measure_compression, zipped_bytes
from power_bert.distill.driver import distill
from power_bert.distill_config import Distillation
from power_bert.errors import UserError
from power_bert.export.exporter import export
from power_bert.export.options import ExportOptions
from power_bert.files import atomic_write_text
from power_bert.folders import LOGITS_FOLDER
from power_bert.locks import writes
from power_bert.run_dir import RunDir
from power_bert.run_documents import read_metrics
from power_bert.text_table import text_table
from power_bert.train.metrics import format_scores
from power_bert.train.run_folder import read_settings
from power_bert.train.stored_run import find_stored_phase
from power_bert.train.trained_model import load_trained_model

_REPORT = "compression"
_HEADER = ("model", "dev", "zeros", "different values", "MB", "MB zipped")
_WORDS = 2  # columns at the left that are no numbers


@writes(lambda run, changes, *_, **__: changes["output_dir"])
def compress(
    run: Path,
    changes: Mapping[str, Any],
    quantize: str,
    resume: bool = True,
    console: Console | None = None,
    logits_folder: Path = LOGITS_FOLDER,
) -> RunDir:
    """Train the student of a run on, with the run's teachers, while its weights are pruned or clustered.

    Args:
        run: folder of a distilled run.
        changes: settings of `Distillation` that differ from the run's: output_dir, and what is not None of sparsity,
            block, clusters, epochs and learning_rate.
        quantize: of the .tflite files whose sizes are reported, as for `export`.
        resume: False sets an earlier run in the same folder aside and starts anew.
        console: where to print; the terminal by default.
        logits_folder: the cache of the teachers' logits.

    Returns:
        The new run, with ``compression.txt`` and ``compression.csv``.

    Raises:
        UserError: the run is none that was distilled or is not finished, or nothing is to be compressed.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    find_stored_phase(run)
    settings = _settings(run, changes)
    compressed = distill(settings, resume, console, logits_folder=logits_folder)
    rows = [_measure(folder, quantize, console) for folder in (run, compressed.path)]
    text = compression_text(rows, quantize)
    atomic_write_text(compressed.path / f"{_REPORT}.txt", text)
    atomic_write_text(compressed.path / f"{_REPORT}.csv", compression_csv(rows))
    console.print(f"\n{text}", markup=False)
    return compressed


def _settings(run: Path, changes: Mapping[str, Any]) -> Distillation:
    before = read_settings(RunDir(run))
    if not isinstance(before, Distillation):
        raise UserError(
            f"{run}: not a student; compress takes a run of `bash run.sh distill` (also one with --teacher none)"
        )
    given = {name: value for name, value in changes.items() if value is not None}
    given.setdefault("epochs", max(2, before.epochs // 2))
    if not given.get("sparsity") and not given.get("clusters"):
        raise UserError("nothing to compress: give --sparsity, --clusters or both")
    return dataclasses.replace(before, continued=str(run.resolve()), **given)


@dataclass(frozen=True)
class CompressionRow:
    """A student and what it weighs.

    Attributes:
        run: its folder.
        scores: dev scores, metric → fraction.
        sparsity: share of zeros in the weights that can be compressed.
        most_values: different numbers in the weight that has most.
        file_bytes: of the .tflite file.
        zipped_bytes: of the same file in a zip.
    """

    run: Path
    scores: Mapping[str, float]
    sparsity: float
    most_values: int
    file_bytes: int
    zipped_bytes: int


def _measure(run: Path, quantize: str, console: Console) -> CompressionRow:
    model = load_trained_model(str(run))
    measured = measure_compression(compressible(model.classifier))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        export(model, path, ExportOptions(quantize=quantize), console)
        sizes = path.stat().st_size, zipped_bytes(path)
    scores = read_metrics(find_stored_phase(run).phase_dir.metrics)["scores"]
    return CompressionRow(run, scores, measured.sparsity, measured.most_values, *sizes)


def compression_text(rows: Sequence[CompressionRow], quantize: str) -> str:
    """The table for people."""
    lines = text_table([_HEADER, *(_cells(row) for row in rows)], words=range(_WORDS))
    note = f"files: --quantize {quantize}; zeros, different values: of weights of {SMALLEST_WEIGHT} numbers or more"
    return "\n".join([*lines, "", note]) + "\n"


def _cells(row: CompressionRow) -> tuple[str, ...]:
    return (
        str(row.run),
        format_scores(row.scores),
        f"{100 * row.sparsity:.1f} %",
        f"{row.most_values:,}",
        f"{row.file_bytes / 1e6:.2f}",
        f"{row.zipped_bytes / 1e6:.2f}",
    )


def compression_csv(rows: Sequence[CompressionRow]) -> str:
    """The table for programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = list(rows[0].scores)
    writer.writerow(["run", *metrics, "sparsity", "most_values", "file_bytes", "zipped_bytes"])
    for row in rows:
        scores = [row.scores[metric] for metric in metrics]
        writer.writerow([row.run, *scores, row.sparsity, row.most_values, row.file_bytes, row.zipped_bytes])
    return text.getvalue()
