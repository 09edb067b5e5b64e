"""Proof points: a few models from data to .tflite files, with accuracy, times and sizes of each."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from power_bert.analysis.elimination_cost import reference_notes
from power_bert.analysis.litert_latency import measure_files
from power_bert.config import Experiment, resolve_experiment
from power_bert.distill.driver import distill
from power_bert.distill_config import resolve_distillation
from power_bert.errors import UserError
from power_bert.export.exporter import export
from power_bert.export.options import ExportOptions
from power_bert.export.runtime import predict_with_litert
from power_bert.files import atomic_write_text
from power_bert.locks import writes
from power_bert.model.pretrained import plain_tokenizer
from power_bert.run_dir import DISTILL, PHASES
from power_bert.run_documents import read_metrics
from power_bert.text.examples import read_examples
from power_bert.text_table import text_table
from power_bert.train.driver import run_experiment
from power_bert.train.metrics import compute_scores, format_scores
from power_bert.train.predict import to_predictions
from power_bert.train.rows_progress import rows_progress
from power_bert.train.stored_run import StoredPhase, find_stored_phase
from power_bert.train.trained_model import TrainedModel, load_trained_model, task_and_data

_THREADS = (1, 2)
_TINY = "bert-tiny"
_HEADER = (
    *("model", "dev, Keras", "dev, LiteRT", "build s", "evaluation s", "MB"),
    *(
        f"{figure} ms, {threads} thread{'s' if threads > 1 else ''}"
        for threads in _THREADS
        for figure in ("p50", "p95")
    ),
)
_WORDS = 3  # columns at the left that are no numbers


@dataclass(frozen=True)
class ProofPoint:
    """One .tflite file.

    Attributes:
        name: of the model.
        file: where it lies; None where it was not made.
        keras_scores: on the dev set, metric → fraction, of the model before the export.
        litert_scores: of the file; None where it was not made.
        build_seconds: training, all phases of the run, and export.
        evaluation_seconds: of the whole dev set in LiteRT, one interpreter a core.
        file_bytes: of the file.
        latencies: threads → (p50, p95) in ms, of one example of the full length.
        problem: why there is no file; empty where there is one.
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

    BERT-tiny starts at random and is distilled from the BERT. What an earlier call trained is not trained again.

    Args:
        settings: of `resolve_experiment`: task, data_dir, checkpoint_path, epochs, …
        runs: further runs, exported in float32 and in int8.
        out: folder of everything that is made.
        timed_runs: of each file and number of threads.
        console: for progress.

    Raises:
        UserError: bad input; nothing finished is lost.
    """
    experiment = resolve_experiment({**settings, "output_dir": str(out / "bert")})
    bert = run_experiment(experiment, console=console, predict_test=False, only_fine_tune=True).path
    tiny_settings = resolve_distillation(_tiny_settings(experiment, out))
    tiny = distill(tiny_settings, console=console, predict_test=False, logits_folder=out / "teacher_logits").path
    wanted = [(_TINY, str(tiny), "none"), ("BERT", str(bert), "none"), ("BERT, int8", str(bert), "int8")]
    for run in runs:
        wanted += [(run, run, "none"), (f"{run}, int8", run, "int8")]
    points = [
        _build(name, run, quantize, out / f"{number}_{quantize}.tflite", console)
        for number, (name, run, quantize) in enumerate(wanted)
    ]
    points = _with_latencies(points, timed_runs, console)
    notes = [note for run in runs for note in reference_notes(find_stored_phase(run))]
    for ending, text in (("txt", proof_text(points, notes)), ("csv", proof_csv(points)), ("json", proof_json(points))):
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


def _build(name: str, run: str, quantize: str, target: Path, console: Console) -> ProofPoint:
    """Export a run and evaluate the file."""
    stored = find_stored_phase(run)
    keras_scores, seconds = read_metrics(stored.phase_dir.metrics)["scores"], _training_seconds(stored)
    model = load_trained_model(run)
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
    """Of the phase and of those of its run before it; an ensemble has trained nothing."""
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
    """Each with the milliseconds of its file; the files take turns."""
    files = [Path(point.file) for point in points if point.file]
    measured: dict[str, dict[int, tuple[float, float]]] = {str(file): {} for file in files}
    for threads in _THREADS:
        console.print(f"timing     {len(files)} files, {threads} threads", markup=False)
        for latency in measure_files(files, threads, timed_runs):
            measured[str(latency.path)][threads] = (latency.p50_ms, latency.p95_ms)
    return [replace(point, latencies=measured.get(point.file or "", {})) for point in points]


def proof_text(points: Sequence[ProofPoint], notes: Sequence[str] = ()) -> str:
    """The table for people, with notes under it."""
    lines = text_table([_HEADER, *(_cells(point) for point in points)], words=range(_WORDS))
    under = [*(f"{point.name}: {point.problem}" for point in points if point.problem), *notes]
    return "\n".join([*lines, *([""] if under else []), *under]) + "\n"


def _cells(point: ProofPoint) -> tuple[str, ...]:
    keras = format_scores(point.keras_scores)
    if point.litert_scores is None or point.evaluation_seconds is None or point.file_bytes is None:
        return (point.name, keras, "not made", f"{point.build_seconds:.0f}", *[""] * (len(_HEADER) - _WORDS - 1))
    figures = (f"{value:.2f}" for threads in _THREADS for value in point.latencies[threads])
    return (
        *(point.name, keras, format_scores(point.litert_scores), f"{point.build_seconds:.0f}"),
        *(f"{point.evaluation_seconds:.1f}", f"{point.file_bytes / 1e6:.1f}", *figures),
    )


def proof_csv(points: Sequence[ProofPoint]) -> str:
    """The table for programs: scores as fractions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = list(points[0].keras_scores)
    writer.writerow(
        [
            *("model", "file", *(f"keras_{name}" for name in metrics), *(f"litert_{name}" for name in metrics)),
            *("build_seconds", "evaluation_seconds", "bytes"),
            *(f"{figure}_ms_{threads}_threads" for threads in _THREADS for figure in ("p50", "p95")),
            "problem",
        ]
    )
    for point in points:
        litert = point.litert_scores or {}
        latencies = [value for threads in _THREADS for value in point.latencies.get(threads, ("", ""))]
        scores = [point.keras_scores[name] for name in metrics] + [litert.get(name, "") for name in metrics]
        sizes = [point.build_seconds, point.evaluation_seconds, point.file_bytes]
        writer.writerow([point.name, point.file, *scores, *sizes, *latencies, point.problem])
    return text.getvalue()


def proof_json(points: Sequence[ProofPoint]) -> str:
    """The same as a list of objects."""
    return json.dumps([asdict(point) for point in points], indent=2) + "\n"
