"""Runs side by side: what each scores, weighs and costs, and how far it says what its teacher says."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import softmax

from power_bert.analysis.agreement import equal_labels, expected_calibration_error, mean_cosine
from power_bert.analysis.latency import measure_interleaved
from power_bert.analysis.litert_latency import measure_files
from power_bert.analysis.model_card import FIGURES, without_seed, write_model_card
from power_bert.distill.logit_cache import LogitCache
from power_bert.distill.teachers import find_teacher
from power_bert.distill_config import LOGITS_FOLDER, Distillation, Ensemble
from power_bert.errors import UserError
from power_bert.export.exporter import export
from power_bert.export.options import ExportOptions
from power_bert.export.parity import evenly_spaced
from power_bert.model.pretrained import plain_tokenizer
from power_bert.run_dir import PHASES, write_json
from power_bert.settings import TrainingSettings
from power_bert.text.batches import Batch, evaluation_batches
from power_bert.text.examples import Examples, read_examples, scored_split
from power_bert.text.task import Split
from power_bert.train.forward import Forward, compiled_forward
from power_bert.train.metrics import compute_scores
from power_bert.train.predict import Predictor, to_predictions
from power_bert.train.stored_run import StoredPhase, find_stored_phase
from power_bert.train.trained_model import TrainedModel, load_trained_model

_THROUGHPUT_EXAMPLES = 500
_THROUGHPUT_BATCH = 32
_CLASS_METRICS = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        split: whose examples; None takes test where that has labels, else dev.
        teacher: with whom the runs are compared; None takes the first that one of them names.
        length: word pieces of an input when timed; None takes the smallest maximum length of the runs.
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
        file_bytes: of its .tflite file.
        length: word pieces of the input that was timed.
        p50_ms: of one example, in LiteRT.
        p95_ms: likewise.
        examples_per_second: in Keras, length-bucketed batches of 32.
    """

    file_bytes: int
    length: int
    p50_ms: float
    p95_ms: float
    examples_per_second: float


@dataclass(frozen=True)
class RunFigures:
    """One run.

    Attributes:
        run: its folder.
        group: name of the runs that differ from it in the seed alone.
        seed: its seed.
        split: on which it was scored.
        examples: of that split.
        scores: metric → fraction.
        parameters: of the model.
        calibration_error: None for a regression.
        equal_labels: with the teacher; None without one, and for a regression.
        cosine: of the probabilities, likewise.
        speed: measured on one run of the group.
    """

    run: Path
    group: str
    seed: int
    split: str
    examples: int
    scores: Mapping[str, float]
    parameters: int
    calibration_error: float | None
    equal_labels: float | None
    cosine: float | None
    speed: Speed


def compare_runs(
    folders: Sequence[Path], options: Options, console: Console, logits_folder: Path = LOGITS_FOLDER
) -> list[RunFigures]:
    """Score and time runs of one task; also leaves the figures in each run, for its model card.

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
    taught = None if task.is_regression else _teacher_logits(stored, options, examples, split, console, logits_folder)
    groups = name_groups(stored)
    models = [load_trained_model(str(folder)) for folder in folders]
    speeds = _speeds(models, groups, options, examples, console)
    figures = []
    for phase, model, group in zip(stored, models, groups, strict=True):
        console.print(f"scoring    {phase.run_dir.path}", markup=False)
        outputs = Predictor(model.classifier, model.max_length).outputs(examples)
        figures.append(_figures(phase, model, group, split, examples, outputs, taught, speeds[group]))
    for phase, figure in zip(stored, figures, strict=True):
        _leave_for_card(phase, figure, options)
    return figures


def name_groups(stored: Sequence[StoredPhase]) -> list[str]:
    """A name for each run, the same for runs that differ in the seed alone."""
    keys = [repr((type(phase.experiment).__name__, without_seed(phase.experiment))) for phase in stored]
    names = {key: _short_name(phase) for key, phase in zip(keys, stored, strict=True)}
    firsts = {key: phase.run_dir.path.name for key, phase in reversed(list(zip(keys, stored, strict=True)))}
    counts = Counter(names.values())
    return [names[key] if counts[names[key]] == 1 else f"{names[key]} ({firsts[key]})" for key in keys]


def _short_name(phase: StoredPhase) -> str:
    settings: TrainingSettings = phase.experiment
    if isinstance(settings, Ensemble):
        return f"ensemble of {len(settings.members)}"
    if isinstance(settings, Distillation):
        if not settings.teachers:
            return f"{settings.student} alone"
        taught = f"{settings.student}, {len(settings.teachers)} teacher{'s' if settings.teachers[1:] else ''}"
        extras = ["augmented"] if settings.augment else []
        extras += ["more texts"] if settings.unlabelled else []
        return ", ".join([taught, *extras])
    return "BERT" if phase.phase_dir.path.name == PHASES[0] else "PoWER-BERT"


def _check_same_task(stored: Sequence[StoredPhase]) -> None:
    first = stored[0]
    for phase in stored[1:]:
        if phase.task != first.task:
            raise UserError(
                f"{phase.run_dir.path} is a run of {phase.task.name}, and {first.run_dir.path} one of "
                f"{first.task.name}; compare runs of one task"
            )


def _teacher_logits(
    stored: Sequence[StoredPhase],
    options: Options,
    examples: Examples,
    split: str,
    console: Console,
    logits_folder: Path,
) -> np.ndarray | None:
    taught = [phase.experiment for phase in stored if isinstance(phase.experiment, Distillation)]
    first = next((settings for settings in taught if settings.teachers), None)
    if options.teacher:
        teacher = find_teacher(options.teacher, stored[0].task, None)
    elif first is not None:
        teacher = find_teacher(first.teachers[0], stored[0].task, first.teacher_max_length)
    else:
        return None
    console.print(f"teacher    {teacher.name}", markup=False)
    return LogitCache(logits_folder, console).logits(teacher, examples, f"{split} of {stored[0].task.name}")


def _speeds(
    models: Sequence[TrainedModel],
    groups: Sequence[str],
    options: Options,
    examples: Examples,
    console: Console,
) -> dict[str, Speed]:
    """Group → what its first run weighs and costs; all are timed in turns."""
    firsts: dict[str, TrainedModel] = {}
    for group, model in zip(groups, models, strict=True):
        firsts.setdefault(group, model)
    length = options.length or min(model.max_length for model in models)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, model in enumerate(firsts.values()):
            path = Path(folder) / f"{number}.tflite"
            export(model, path, ExportOptions(quantize=options.quantize, lengths=(length,)), console)
            paths.append(path)
        console.print(f"timing     {len(paths)} files, {length} word pieces, {options.threads} threads", markup=False)
        latencies = measure_files(paths, options.threads, options.runs)
    sample = examples.take(evenly_spaced(len(examples), _THROUGHPUT_EXAMPLES))
    throughput = measure_interleaved({group: _batches(model, sample, length) for group, model in firsts.items()})
    return {
        group: Speed(latency.size_bytes, length, latency.p50_ms, latency.p95_ms, throughput[group].examples_per_second)
        for group, latency in zip(firsts, latencies, strict=True)
    }


def _batches(model: TrainedModel, sample: Examples, length: int) -> tuple[Forward, list[Batch]]:
    encoded = plain_tokenizer(model.classifier).encode(sample.first, sample.second, length)
    return compiled_forward(model.classifier), list(evaluation_batches(encoded, _THROUGHPUT_BATCH, length))


def _figures(
    phase: StoredPhase,
    model: TrainedModel,
    group: str,
    split: str,
    examples: Examples,
    outputs: np.ndarray,
    taught: np.ndarray | None,
    speed: Speed,
) -> RunFigures:
    task, labels = phase.task, examples.labels
    if labels is None:
        raise ValueError("expected labelled examples")
    names = task.metrics if task.is_regression else tuple(dict.fromkeys((*task.metrics, *_CLASS_METRICS)))
    figures = RunFigures(
        run=phase.run_dir.path,
        group=group,
        seed=phase.experiment.seed,
        split=split,
        examples=len(examples),
        scores=compute_scores(names, labels, to_predictions(task, outputs)),
        parameters=int(model.classifier.count_params()),
        calibration_error=None,
        equal_labels=None,
        cosine=None,
        speed=speed,
    )
    if task.is_regression:
        return figures
    probabilities = softmax(outputs, axis=-1)
    figures = replace(figures, calibration_error=expected_calibration_error(probabilities, labels))
    if taught is None:
        return figures
    theirs = softmax(taught, axis=-1)
    return replace(figures, equal_labels=equal_labels(probabilities, theirs), cosine=mean_cosine(probabilities, theirs))


def _leave_for_card(phase: StoredPhase, figures: RunFigures, options: Options) -> None:
    speed = figures.speed
    rows = [
        [
            f"exported file, {'float32' if options.quantize == 'none' else options.quantize}",
            f"{speed.file_bytes / 1e6:.2f} MB",
        ],
        [
            f"one text of {speed.length} word pieces, LiteRT, {options.threads} threads",
            f"p50 {speed.p50_ms:.3f} ms, p95 {speed.p95_ms:.3f} ms",
        ],
        ["batches of 32, Keras", f"{speed.examples_per_second:.0f} texts a second"],
    ]
    if figures.calibration_error is not None:
        rows.append([f"expected calibration error, {figures.split}", f"{figures.calibration_error:.4f}"])
    if figures.equal_labels is not None:
        rows.append([f"same label as the teacher, {figures.split}", f"{100 * figures.equal_labels:.2f} %"])
    values = {**asdict(figures), "run": str(figures.run.name), "card": rows}
    write_json(phase.phase_dir.path / FIGURES, values)
    write_model_card(phase.run_dir)
