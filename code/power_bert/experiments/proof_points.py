"""Proof points: a few models from data to .tflite files, with scores, latency and size of each."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from power_bert.benchmarks.litert_latency import measure_files
from power_bert.config.distillation import resolve_distillation
from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.distill.run_distillation import distill
from power_bert.errors import UserError
from power_bert.export.export_options import ExportOptions
from power_bert.export.exporter import export
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.metrics import compute_scores, format_scores
from power_bert.predict.rows_progress import rows_progress
from power_bert.reports.elimination_cost import reference_notes
from power_bert.result_tables import csv_text, text_table, to_frame, wrap_lines
from power_bert.runs.resolve_model import StoredPhase, find_stored_phase
from power_bert.runs.run_dir import DISTILL, PHASES
from power_bert.runs.run_documents import read_metrics
from power_bert.runs.trained_model import TrainedModel, load_trained_model, task_and_data
from power_bert.storage.files import atomic_write_text
from power_bert.storage.locks import writes
from power_bert.text.examples import read_examples
from power_bert.train.run_experiment import run_experiment
from power_bert_runtime.litert import predict_with_litert

_THREADS = (1, 2)
_TINY = "bert-tiny"
_HEADER = (
    *("model", "dev, Keras", "dev, LiteRT", "build s", "evaluation s", "MB"),
    *(f"p50 / p95 ms, {threads} thread{'s' if threads > 1 else ''}" for threads in _THREADS),
)
_LEFT = range(3)  # columns that are not numbers


@dataclass(frozen=True)
class ProofPoint:
    """One .tflite file.

    Attributes:
        name: Name of the model.
        file: Path of the file; None if it was not made.
        keras_scores: Metric → dev score (a fraction) of the model before the export.
        litert_scores: Metric → dev score of the file; None if it was not made.
        build_seconds: Duration of the training (all phases of the run) and of the export.
        evaluation_seconds: Duration of the evaluation on the dev set in LiteRT, one interpreter per core.
        file_bytes: Size of the file.
        latencies: Number of threads → (p50, p95) in ms, of one example of max length.
        problem: Why there is no file; empty if there is one.
    """

    name: str
    file: str | None
    keras_scores: dict[str, float]
    litert_scores: dict[str, float] | None
    build_seconds: float
    evaluation_seconds: float | None
    file_bytes: int | None
    latencies: dict[int, tuple[float, float]]
    problem: str = ""


@writes(lambda settings, runs, out, *_, **__: out)
def prove(
    settings: Mapping[str, Any], runs: Sequence[str], out: Path, timed_runs: int, console: Console
) -> list[ProofPoint]:
    """Build, export and measure a BERT of the checkpoint's size, its int8 file, BERT-tiny, and finished runs.

    BERT-tiny is initialized at random and distilled from the BERT. Models that an earlier call trained are kept.

    Args:
        settings: Settings of `resolve_experiment`: task, data_dir, checkpoint_path, …; data_dir also applies to `runs`.
        runs: Further runs, exported in float32 and in int8.
        out: Folder of all output.
        timed_runs: Number of timed runs of each file for each number of threads.
        console: Console for progress.

    Raises:
        UserError: Bad input; finished models are kept.
    """
    experiment = resolve_experiment({**settings, "output_dir": str(out / "bert")})
    bert = run_experiment(experiment, console=console, predict_test=False, only_fine_tune=True).path
    tiny_settings = resolve_distillation(_tiny_settings(experiment, out))
    tiny = distill(tiny_settings, console=console, predict_test=False, logits_folder=out / "teacher_logits").path
    wanted = [(_TINY, str(tiny), "none"), ("BERT", str(bert), "none"), ("BERT, int8", str(bert), "int8")]
    for run in runs:
        wanted += [(run, run, "none"), (f"{run}, int8", run, "int8")]
    data_dir = settings.get("data_dir") or None
    points = [
        _build(name, find_stored_phase(run, data_dir=data_dir), quantize, out / f"{number}_{quantize}.tflite", console)
        for number, (name, run, quantize) in enumerate(wanted)
    ]
    points = _with_latencies(points, timed_runs, console)
    notes = [note for run in runs for note in reference_notes(find_stored_phase(run))]
    texts = {"txt": proof_text(points, notes), "csv": csv_text(proof_frame(points)), "json": proof_json(points)}
    for ending, text in texts.items():
        atomic_write_text(out / f"proof_points.{ending}", text)
    return points


def _tiny_settings(experiment: Experiment, out: Path) -> dict[str, Any]:
    shared = ("task", "data_dir", "max_length", "seed", "text_columns", "label_column", "labels", "metric")
    return {
        **{name: getattr(experiment, name) for name in shared},
        "student": _TINY,
        "teachers": (experiment.output_dir,),
        "vocabulary": experiment.checkpoint_path,
        "output_dir": str(out / _TINY),
    }


def _build(name: str, stored: StoredPhase, quantize: str, target: Path, console: Console) -> ProofPoint:
    """Export a run and evaluate the file; an export that is refused becomes the problem of the point."""
    keras_scores, seconds = read_metrics(stored.phase_dir.metrics)["scores"], _training_seconds(stored)
    model = load_trained_model(str(stored.phase_dir.path), data_dir=stored.experiment.data_dir)
    started = time.perf_counter()
    try:
        export(model, target, ExportOptions(quantize=quantize, seed=stored.experiment.seed), console)
    except UserError as error:
        return ProofPoint(name, None, keras_scores, None, seconds, None, None, {}, str(error))
    build_seconds = seconds + time.perf_counter() - started
    started = time.perf_counter()
    scores = _litert_scores(model, target, console)
    evaluation_seconds, size = time.perf_counter() - started, target.stat().st_size
    return ProofPoint(name, str(target), keras_scores, scores, build_seconds, evaluation_seconds, size, {})


def _training_seconds(stored: StoredPhase) -> float:
    """Return the duration of the phase and of those of its run before it; an ensemble has trained nothing."""
    names = (*PHASES, DISTILL)
    phases = [stored.run_dir.phase(name) for name in names[: names.index(stored.phase_dir.path.name) + 1]]
    return sum(float(read_metrics(phase.metrics).get("seconds", 0.0)) for phase in phases if phase.is_done)


def _litert_scores(model: TrainedModel, file: Path, console: Console) -> dict[str, float]:
    task, data_dir = task_and_data(model)
    dev = read_examples(task, "dev", data_dir)
    encoded = plain_tokenizer(model.classifier).encode(dev.first, dev.second, model.max_length)
    with rows_progress(console, "evaluating the file") as advance:
        outputs = predict_with_litert(file.read_bytes(), encoded, advance=advance)
    return compute_scores(task.metrics, np.asarray(dev.labels), to_predictions(task, outputs))


def _with_latencies(points: Sequence[ProofPoint], timed_runs: int, console: Console) -> list[ProofPoint]:
    """Return the points with the latencies of their files, which are timed in turns."""
    files = [Path(point.file) for point in points if point.file]
    measured: dict[str, dict[int, tuple[float, float]]] = {str(file): {} for file in files}
    for threads in _THREADS:
        console.print(f"timing     {len(files)} files, {threads} threads", markup=False)
        for latency in measure_files(files, threads, timed_runs):
            measured[str(latency.path)][threads] = (latency.p50_ms, latency.p95_ms)
    return [replace(point, latencies=measured.get(point.file or "", {})) for point in points]


def proof_text(points: Sequence[ProofPoint], notes: Sequence[str] = ()) -> str:
    """Return the table for people, with notes below it."""
    lines = text_table(to_frame((_cells(point) for point in points), _HEADER), _LEFT)
    under = wrap_lines([*(f"{point.name}: {point.problem}" for point in points if point.problem), *notes])
    return "\n".join([*lines, *([""] if under else []), *under]) + "\n"


def _cells(point: ProofPoint) -> tuple[str, ...]:
    keras = format_scores(point.keras_scores)
    if point.litert_scores is None or point.evaluation_seconds is None or point.file_bytes is None:
        return (point.name, keras, "not made", f"{point.build_seconds:.0f}", *[""] * (len(_HEADER) - len(_LEFT) - 1))
    figures = (" / ".join(f"{value:.2f}" for value in point.latencies[threads]) for threads in _THREADS)
    return (
        *(point.name, keras, format_scores(point.litert_scores), f"{point.build_seconds:.0f}"),
        *(f"{point.evaluation_seconds:.1f}", f"{point.file_bytes / 1e6:.1f}", *figures),
    )


def proof_frame(points: Sequence[ProofPoint]) -> pd.DataFrame:
    """Return the table for programs: one row per file, scores as fractions; what was not measured is missing."""
    return to_frame(
        {
            "model": point.name,
            "file": point.file,
            **{f"keras_{name}": score for name, score in point.keras_scores.items()},
            **{f"litert_{name}": (point.litert_scores or {}).get(name) for name in point.keras_scores},
            "build_seconds": point.build_seconds,
            "evaluation_seconds": point.evaluation_seconds,
            "bytes": point.file_bytes,
            **{
                f"{figure}_ms_{threads}_threads": value
                for threads in _THREADS
                for figure, value in zip(("p50", "p95"), point.latencies.get(threads, (None, None)), strict=True)
            },
            "problem": point.problem,
        }
        for point in points
    )


def proof_json(points: Sequence[ProofPoint]) -> str:
    """Return the points as a JSON list of objects."""
    return json.dumps([asdict(point) for point in points], indent=2) + "\n"
