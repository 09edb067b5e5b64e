"""Runs side by side: what each scores, weighs and costs, and how far it says what its teacher says."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import softmax

from power_bert.analysis.agreement import equal_labels, expected_calibration_error, mean_cosine
from power_bert.analysis.contestants import Group, name_groups, with_references
from power_bert.analysis.latency import measure_interleaved
from power_bert.analysis.litert_latency import FileLatency, measure_files
from power_bert.analysis.model_card import FIGURES, write_model_card
from power_bert.distill.logit_cache import LogitCache
from power_bert.distill.teachers import Teacher, find_teacher
from power_bert.distill_config import Distillation
from power_bert.errors import UserError
from power_bert.export.exporter import export
from power_bert.export.options import ExportOptions
from power_bert.export.parity import evenly_spaced
from power_bert.folders import LOGITS_FOLDER
from power_bert.model.pretrained import check_max_length, plain_tokenizer
from power_bert.run_dir import write_json
from power_bert.text.batches import Batch, evaluation_batches
from power_bert.text.examples import Examples, read_examples, scored_split
from power_bert.text.task import Split
from power_bert.train.forward import Forward, compiled_forward
from power_bert.train.metrics import compute_scores, metrics_to_compare
from power_bert.train.predict import Predictor, to_predictions
from power_bert.train.stored_run import StoredPhase, find_stored_phase
from power_bert.train.trained_model import TrainedModel

_THROUGHPUT_EXAMPLES = 500
_THROUGHPUT_BATCH = 32


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        split: whose examples; None takes test where that has labels, else dev.
        teacher: with whom the runs are compared; None takes the first that one of them names.
        length: word pieces of an input when timed; None takes for each run what it reads at most.
        quantize: of the files that are weighed and timed, as for `export`.
        threads: of the runtime that is timed.
        runs: timed ones of each file.
    """

    split: Split | None = None
    teacher: str | None = None
    length: int | None = None
    quantize: str = "none"
    threads: int = 2
    runs: int = 200


@dataclass(frozen=True)
class Speed:
    """What a model weighs and costs.

    Attributes:
        length: word pieces of the input that was timed.
        examples_per_second: in Keras, length-bucketed batches of 32.
        file_bytes: of its .tflite file; None where it could not be exported.
        p50_ms: of one example, in LiteRT; likewise.
        p95_ms: likewise.
        problem: why there is no file; empty where there is one.
    """

    length: int
    examples_per_second: float
    file_bytes: int | None
    p50_ms: float | None
    p95_ms: float | None
    problem: str = ""


@dataclass(frozen=True)
class RunFigures:
    """One run.

    Attributes:
        run: its folder.
        group: its recipe.
        seed: its seed.
        split: on which it was scored.
        examples: of that split.
        scores: metric → fraction.
        parameters: of the model.
        calibration_error: None for a regression.
        equal_labels: with the teacher; None without one, for the teacher itself, and for a regression.
        cosine: of the probabilities, likewise.
        speed: measured on one run of the group.
        is_teacher: whether it is the teacher with which the others are compared.
    """

    run: Path
    group: Group
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
    """Score and time runs of one task, and their references; also leaves the figures in each run, for its model card.

    Args:
        folders: finished runs of any kind.
        options: how to compare.
        console: for progress.
        logits_folder: the cache of the teachers' logits.

    Raises:
        UserError: a run is not finished or of another task than the first, or there is no such teacher.
    """
    stored = [find_stored_phase(folder) for folder in folders]
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
    # Of all runs, only the first of each group stays in memory.
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
    return None if first is None else find_teacher(first.teachers[0], stored[0].task, first.teacher_max_length)


def _speeds(
    models: Mapping[Group, TrainedModel], options: Options, examples: Examples, console: Console
) -> dict[Group, Speed]:
    """Group → what its model weighs and costs; all are timed in turns. One that cannot be exported has no file."""
    lengths = {group: options.length or model.max_length for group, model in models.items()}
    for group, model in models.items():
        check_max_length(lengths[group], model.classifier.backbone)
    files: dict[Group, Path] = {}
    problems: dict[Group, str] = {}
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
    group: Group,
    model: TrainedModel,
    split: str,
    examples: Examples,
    taught: np.ndarray | None,
    speed: Speed,
    is_teacher: bool,
) -> RunFigures:
    task, labels = phase.task, examples.labels
    if labels is None:
        raise ValueError("expected labelled examples")
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
    file = f"exported file, {'float32' if options.quantize == 'none' else options.quantize}"
    if speed.file_bytes is None:
        rows = [[file, f"none: {speed.problem}"]]
    else:
        one_text = f"one text of {speed.length} word pieces, LiteRT without tokenising, {options.threads} threads"
        rows = [
            [file, f"{speed.file_bytes / 1e6:.2f} MB"],
            [one_text, f"p50 {speed.p50_ms:.3f} ms, p95 {speed.p95_ms:.3f} ms"],
        ]
    rows.append(["batches of 32, Keras", f"{speed.examples_per_second:.0f} texts a second"])
    if figures.calibration_error is not None:
        rows.append([f"expected calibration error, {figures.split}", f"{figures.calibration_error:.4f}"])
    if figures.equal_labels is not None:
        rows.append([f"same label as the teacher, {figures.split}", f"{100 * figures.equal_labels:.2f} %"])
    values = {**asdict(figures), "run": str(figures.run.name), "card": rows}
    write_json(phase.phase_dir.path / FIGURES, values)
    write_model_card(phase.run_dir)
