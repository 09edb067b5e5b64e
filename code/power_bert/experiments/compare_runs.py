"""Compare runs: scores, model size, latency and agreement with the teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import softmax

from power_bert.benchmarks.latency import measure_interleaved
from power_bert.benchmarks.litert_latency import FileLatency, measure_files
from power_bert.config.distillation import Distillation
from power_bert.distill.logit_cache import LogitCache
from power_bert.distill.teachers import Teacher, find_teacher
from power_bert.errors import UserError
from power_bert.experiments.agreement import equal_labels, expected_calibration_error, mean_cosine
from power_bert.experiments.contestants import SeedGroup, name_groups, with_references
from power_bert.export.export_options import ExportOptions
from power_bert.export.exporter import export
from power_bert.export.parity import evenly_spaced
from power_bert.folders import LOGITS_FOLDER
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.model.pretrained import check_max_length
from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.forward import Forward, compiled_forward
from power_bert.predict.metrics import compute_scores, metrics_to_compare
from power_bert.predict.predict_texts import Predictor
from power_bert.reports.model_card import FIGURES, write_model_card
from power_bert.runs.resolve_model import StoredPhase, find_stored_phase
from power_bert.runs.run_dir import write_run_json
from power_bert.runs.trained_model import TrainedModel
from power_bert.text.batches import Batch, evaluation_batches
from power_bert.text.examples import Examples, read_examples, scored_split
from power_bert.text.task import Split

_THROUGHPUT_EXAMPLES = 500
_THROUGHPUT_BATCH = 32


@dataclass(frozen=True)
class Options:
    """Options of a comparison.

    Attributes:
        split: Split to score; None takes test if it has labels, else dev.
        teacher: Teacher to compare with; None takes the first that one of the runs names.
        length: Sequence length of the timed input, in tokens; None takes the max length of each run.
        quantize: Quantization of the exported files, as for `export`.
        threads: Number of threads of the timed runtime.
        runs: Number of timed runs of each file.
        data_dir: Data directory of the runs; None takes the stored one of the first.
    """

    split: Split | None = None
    teacher: str | None = None
    length: int | None = None
    quantize: str = "none"
    threads: int = 2
    runs: int = 200
    data_dir: str | None = None


@dataclass(frozen=True)
class Speed:
    """Size and speed of a model.

    Attributes:
        length: Sequence length of the timed input, in tokens.
        examples_per_second: Throughput in Keras, length-bucketed batches of 32.
        file_bytes: Size of the .tflite file; None if it could not be exported.
        p50_ms: Median latency of one example in LiteRT; None if it could not be exported.
        p95_ms: 95th percentile of that latency; None if it could not be exported.
        problem: Reason why there is no file; "" if there is one.
    """

    length: int
    examples_per_second: float
    file_bytes: int | None
    p50_ms: float | None
    p95_ms: float | None
    problem: str = ""


@dataclass(frozen=True)
class RunFigures:
    """Figures of one run.

    Attributes:
        run: Run directory.
        group: Model and variant of its training.
        seed: Seed of the run.
        split: Split that was scored.
        examples: Number of examples of the split.
        scores: Metric → score, a fraction.
        parameters: Number of parameters of the model.
        calibration_error: Expected calibration error; None for a regression.
        equal_labels: Label agreement with the teacher, a fraction; None without a teacher, for the teacher itself, and
            for a regression.
        cosine: Mean cosine similarity with the probabilities of the teacher; None where `equal_labels` is None.
        speed: Size and speed, measured on one run of the group.
        is_teacher: Whether the run is the teacher that the others are compared with.
    """

    run: Path
    group: SeedGroup
    seed: int
    split: str
    examples: int
    scores: Mapping[str, float]
    parameters: int
    calibration_error: float | None
    equal_labels: float | None
    cosine: float | None
    speed: Speed
    is_teacher: bool = False


def compare_runs(
    folders: Sequence[Path], options: Options, console: Console, logits_folder: Path = LOGITS_FOLDER
) -> list[RunFigures]:
    """Score and time runs of one task and their references; write the figures to each run, for its model card.

    Args:
        folders: Run directories of finished runs of any kind.
        options: Options of the comparison.
        console: Console for progress.
        logits_folder: Cache of the teachers' logits.

    Raises:
        UserError: A run is not finished or of another task than the first, or there is no such teacher.
    """
    stored = [find_stored_phase(folder, data_dir=options.data_dir) for folder in folders]
    _check_same_task(stored)
    task, data_dir = stored[0].task, stored[0].experiment.data_dir
    split: Split = options.split or scored_split(task, data_dir)
    examples = read_examples(task, split, data_dir)
    if examples.labels is None:
        raise UserError(f"the {split} data of {task.name} have no labels; give --split dev")
    teacher = None if task.is_regression else _find_teacher(stored, options)
    taught = None
    if teacher is not None:
        console.print(f"teacher    {teacher.name}", markup=False)
        taught = LogitCache(logits_folder, console).logits(teacher, examples, f"{split} of {task.name}")
    contestants = [contestant for phase in stored for contestant in with_references(phase)]
    groups = name_groups(contestants)
    # Only the first model of each group stays in memory.
    firsts = {group: phase for group, phase in reversed(list(zip(groups, contestants, strict=True)))}
    models = {group: firsts[group].load() for group in dict.fromkeys(groups)}
    speeds = _speeds(models, options, examples, console)
    figures = []
    for phase, group in zip(contestants, groups, strict=True):
        console.print(f"scoring    {phase.run_dir.path} ({group.name})", markup=False)
        model = models[group] if phase is firsts[group] else phase.load()
        is_teacher = teacher is not None and phase.phase_dir.model.resolve() == teacher.folder.resolve()
        figures.append(_figures(phase, group, model, split, examples, taught, speeds[group], is_teacher))
    for phase, figure in zip(contestants, figures, strict=True):
        if not phase.is_reference:
            _leave_for_card(phase, figure, options)
    return figures


def _check_same_task(stored: Sequence[StoredPhase]) -> None:
    first = stored[0]
    for phase in stored[1:]:
        if phase.task != first.task:
            raise UserError(
                f"{phase.run_dir.path} is a run of {phase.task.name}, and {first.run_dir.path} one of "
                f"{first.task.name}; compare runs of one task"
            )


def _find_teacher(stored: Sequence[StoredPhase], options: Options) -> Teacher | None:
    taught = [phase.experiment for phase in stored if isinstance(phase.experiment, Distillation)]
    first = next((settings for settings in taught if settings.teachers), None)
    if options.teacher:
        return find_teacher(options.teacher, stored[0].task, None)
    if first is None:
        return None
    try:
        return find_teacher(first.teachers[0], stored[0].task, first.teacher_max_length)
    except UserError as error:
        raise UserError(
            f"{error}\nA run names this teacher; if it has been moved, give its new place with --teacher"
        ) from None


def _speeds(
    models: Mapping[SeedGroup, TrainedModel], options: Options, examples: Examples, console: Console
) -> dict[SeedGroup, Speed]:
    """Measure size and speed of each group; the models are timed in turns. One that cannot be exported has no file."""
    lengths = {group: options.length or model.max_length for group, model in models.items()}
    for group, model in models.items():
        check_max_length(lengths[group], model.classifier.backbone)
    files: dict[SeedGroup, Path] = {}
    problems: dict[SeedGroup, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (group, model) in enumerate(models.items()):
            path = Path(folder) / f"{number}.tflite"
            try:
                export(model, path, ExportOptions(quantize=options.quantize, lengths=(lengths[group],)), console)
            except UserError as error:
                problems[group] = str(error)
                console.print(f"not timed  {group.name}: {error}", markup=False)
            else:
                files[group] = path
        console.print(f"timing     {len(files)} files, {options.threads} threads", markup=False)
        latencies = dict(zip(files, measure_files(list(files.values()), options.threads, options.runs), strict=True))
    sample = examples.take(evenly_spaced(len(examples), _THROUGHPUT_EXAMPLES))
    throughput = measure_interleaved(
        {group.name: _batches(model, sample, lengths[group]) for group, model in models.items()}
    )
    return {
        group: _speed(
            lengths[group],
            throughput[group.name].examples_per_second,
            latencies.get(group),
            problems.get(group, ""),
        )
        for group in models
    }


def _speed(length: int, examples_per_second: float, latency: FileLatency | None, problem: str) -> Speed:
    if latency is None:
        return Speed(length, examples_per_second, None, None, None, problem)
    return Speed(length, examples_per_second, latency.size_bytes, latency.p50_ms, latency.p95_ms)


def _batches(model: TrainedModel, sample: Examples, length: int) -> tuple[Forward, list[Batch]]:
    encoded = plain_tokenizer(model.classifier).encode(sample.first, sample.second, length)
    return compiled_forward(model.classifier), list(evaluation_batches(encoded, _THROUGHPUT_BATCH, length))


def _figures(
    phase: StoredPhase,
    group: SeedGroup,
    model: TrainedModel,
    split: str,
    examples: Examples,
    taught: np.ndarray | None,
    speed: Speed,
    is_teacher: bool,
) -> RunFigures:
    task, labels = phase.task, examples.labels
    if labels is None:
        raise ValueError("expected labeled examples")
    outputs = Predictor(model.classifier, model.max_length).outputs(examples)
    figures = RunFigures(
        run=phase.run_dir.path,
        group=group,
        seed=phase.experiment.seed,
        split=split,
        examples=len(examples),
        scores=compute_scores(metrics_to_compare(task), labels, to_predictions(task, outputs)),
        parameters=int(model.classifier.count_params()),
        calibration_error=None,
        equal_labels=None,
        cosine=None,
        speed=speed,
        is_teacher=is_teacher,
    )
    if task.is_regression:
        return figures
    probabilities = softmax(outputs, axis=-1)
    figures = replace(figures, calibration_error=expected_calibration_error(probabilities, labels))
    if taught is None or is_teacher:
        return figures
    theirs = softmax(taught, axis=-1)
    return replace(figures, equal_labels=equal_labels(probabilities, theirs), cosine=mean_cosine(probabilities, theirs))


def _leave_for_card(phase: StoredPhase, figures: RunFigures, options: Options) -> None:
    speed = figures.speed
    file = f"size of the exported file, {'float32' if options.quantize == 'none' else options.quantize}"
    if speed.file_bytes is None:
        rows = [[file, f"none: {speed.problem}"]]
    else:
        latency = f"latency of a text of {speed.length} tokens, LiteRT without tokenization, {options.threads} threads"
        rows = [
            [file, f"{speed.file_bytes / 1e6:.2f} MB"],
            [latency, f"p50 {speed.p50_ms:.3f} ms, p95 {speed.p95_ms:.3f} ms"],
        ]
    rows.append(["throughput in Keras, batches of 32", f"{speed.examples_per_second:.0f} examples/s"])
    if figures.calibration_error is not None:
        rows.append([f"expected calibration error, {figures.split}", f"{figures.calibration_error:.4f}"])
    if figures.equal_labels is not None:
        rows.append([f"label agreement with the teacher, {figures.split}", f"{100 * figures.equal_labels:.2f} %"])
    values = {**asdict(figures), "run": str(figures.run.name), "card": rows}
    write_run_json(phase.phase_dir.path / FIGURES, values)
    write_model_card(phase.run_dir)
