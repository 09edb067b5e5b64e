"""`bash run.sh compress`: train a finished student further while its weights are pruned or clustered."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from power_bert.compression.weights import SMALLEST_WEIGHT, compressible, measure_compression, zipped_bytes
from power_bert.config.distillation import Distillation
from power_bert.distill.run_distillation import distill
from power_bert.errors import UserError
from power_bert.export.export_options import ExportOptions
from power_bert.export.exporter import export
from power_bert.folders import LOGITS_FOLDER
from power_bert.predict.metrics import format_scores
from power_bert.result_tables import csv_text, short_names, text_table, to_frame, wrap_lines
from power_bert.runs.resolve_model import StoredPhase, find_stored_phase
from power_bert.runs.run_dir import RunDir
from power_bert.runs.run_documents import read_metrics
from power_bert.runs.trained_model import load_trained_model
from power_bert.storage.files import atomic_write_text
from power_bert.storage.locks import writes

_REPORT = "compression"


@writes(lambda run, changes, *_, **__: changes["output_dir"])
def compress(
    run: Path,
    changes: Mapping[str, Any],
    quantize: str,
    resume: bool = True,
    console: Console | None = None,
    logits_folder: Path = LOGITS_FOLDER,
) -> RunDir:
    """Train the student of a run further, with the teachers of the run, while its weights are pruned or clustered.

    Args:
        run: Run directory of a student.
        changes: Settings of `Distillation` that differ from those of the run: output_dir, and those of data_dir,
            sparsity, block, clusters, epochs and learning_rate that are not None.
        quantize: Quantization of the .tflite files whose sizes are reported, as for `export`.
        resume: Whether to continue an earlier run in the same folder; False sets it aside and starts anew.
        console: Console for progress; the terminal by default.
        logits_folder: Cache of the teachers' logits.

    Returns:
        The new run, with ``compression.txt`` and ``compression.csv``.

    Raises:
        UserError: The run is not that of a student or is not finished, or no compression is asked for.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    settings = _settings(find_stored_phase(run), changes)
    compressed = distill(settings, resume, console, logits_folder=logits_folder)
    rows = [_measure(folder, settings.data_dir, quantize, console) for folder in (run, compressed.path)]
    text = compression_text(rows, quantize)
    atomic_write_text(compressed.path / f"{_REPORT}.txt", text)
    atomic_write_text(compressed.path / f"{_REPORT}.csv", csv_text(compression_frame(rows)))
    console.print(f"\n{text}", markup=False)
    return compressed


def _settings(run: StoredPhase, changes: Mapping[str, Any]) -> Distillation:
    before = run.experiment
    if not isinstance(before, Distillation):
        raise UserError(
            f"{run.run_dir.path}: not a student; compress takes a run of `bash run.sh distill` (also one with "
            "--teacher none)"
        )
    given = {name: value for name, value in changes.items() if value is not None}
    given.setdefault("epochs", max(2, before.epochs // 2))
    if not given.get("sparsity") and not given.get("clusters"):
        raise UserError("nothing to compress: give --sparsity, --clusters or both")
    return dataclasses.replace(before, continued=str(run.run_dir.path.resolve()), **given)


@dataclass(frozen=True)
class CompressionRow:
    """Scores and size of a student.

    Attributes:
        run: Run directory.
        scores: Metric → dev score, a fraction.
        sparsity: Fraction of zeros in the weights that can be compressed.
        most_values: Number of different values in the weight tensor that has the most.
        file_bytes: Size of the .tflite file.
        zipped_bytes: Size of the same file in a zip archive.
    """

    run: Path
    scores: Mapping[str, float]
    sparsity: float
    most_values: int
    file_bytes: int
    zipped_bytes: int


def _measure(run: Path, data_dir: str, quantize: str, console: Console) -> CompressionRow:
    model = load_trained_model(str(run), data_dir=data_dir)
    measured = measure_compression(compressible(model.classifier))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        export(model, path, ExportOptions(quantize=quantize), console)
        sizes = path.stat().st_size, zipped_bytes(path)
    scores = read_metrics(find_stored_phase(run).phase_dir.metrics)["scores"]
    return CompressionRow(run, scores, measured.sparsity, measured.most_values, *sizes)


def compression_text(rows: Sequence[CompressionRow], quantize: str) -> str:
    """Return the table for people."""
    table = to_frame(
        {
            "model": name,
            "dev": format_scores(row.scores),
            "zeros": f"{100 * row.sparsity:.1f} %",
            "different values": f"{row.most_values:,}",
            "MB": f"{row.file_bytes / 1e6:.2f}",
            "MB zipped": f"{row.zipped_bytes / 1e6:.2f}",
        }
        for name, row in zip(short_names([row.run for row in rows]), rows, strict=True)
    )
    note = f"files: --quantize {quantize}; zeros, different values: of weights of {SMALLEST_WEIGHT} numbers or more"
    return "\n".join([*text_table(table, left=(0, 1)), "", *wrap_lines([note])]) + "\n"


def compression_frame(rows: Sequence[CompressionRow]) -> pd.DataFrame:
    """Return the table for programs; scores as fractions."""
    return to_frame(
        {
            "run": row.run,
            **row.scores,
            "sparsity": row.sparsity,
            "most_values": row.most_values,
            "file_bytes": row.file_bytes,
            "zipped_bytes": row.zipped_bytes,
        }
        for row in rows
    )
