"""Implementation of `bash run.sh distill`: from settings to a finished run directory."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from power_bert.compression.callbacks import CallbackMaker, compression_callbacks
from power_bert.config.distillation import Distillation
from power_bert.distill.logit_cache import LogitCache
from power_bert.distill.masked_words import make_filler, needs_checkpoint
from power_bert.distill.recipe import make_inner_objective, make_objective
from power_bert.distill.student import (
    bert_of,
    check_options,
    find_start,
    make_student,
    own_classifier,
    set_document_frequencies,
)
from power_bert.distill.teacher_sources import SOURCES, fingerprint_sources, refuse_changed_sources
from power_bert.distill.teachers import Teacher, find_teacher
from power_bert.distill.transfer_set import TransferSet, collect_texts, make_targets
from power_bert.errors import UserError
from power_bert.folders import LOGITS_FOLDER
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.objectives.distiller import Distiller
from power_bert.objectives.objective import Objective
from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.metrics import compute_scores, format_scores
from power_bert.predict.predicting_test_sets import write_missing_predictions
from power_bert.runs.resolve_model import find_stored_phase
from power_bert.runs.run_dir import DISTILL, RunDir, write_run_json
from power_bert.runs.run_documents import read_environment
from power_bert.runs.run_folder import check_run_dir, set_run_aside
from power_bert.storage.locks import writes
from power_bert.text.augmentation import MASK, has_mask
from power_bert.text.examples import Examples, read_examples, read_training_examples
from power_bert.text.label_counts import describe_labels
from power_bert.train.machine import make_deterministic
from power_bert.train.phase_end import already_done, finish_phase, write_metrics_csv
from power_bert.train.reporting import Reporter
from power_bert.train.run_experiment import check_test_data, prepare_checkpoint, prepare_sample, write_run_description
from power_bert.train.training import EncodedExamples, RunContext, TrainingPlan, compile_with_adamw, train_classifier
from power_bert.train.without_elimination import score_without_elimination

_TITLE = "distill"
_FORWARDS = "teacher_forwards"


@writes(lambda settings, *_, **__: settings.output_dir)
def distill(
    settings: Distillation,
    resume: bool = True,
    console: Console | None = None,
    predict_test: bool = True,
    logits_folder: Path = LOGITS_FOLDER,
) -> RunDir:
    """Train a student on the soft labels of its teachers, or without a teacher; resumes an interrupted run.

    Args:
        settings: Settings of the run.
        resume: Whether to continue an earlier run in the same run directory; False moves it aside and starts anew.
        console: Console for messages; the terminal by default.
        predict_test: Whether to write test predictions in GLUE's format.
        logits_folder: Folder of the cached teacher logits.

    Raises:
        UserError: An input is invalid; finished results are kept.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    run_dir = check_run_dir(settings, resume)
    phase_dir = run_dir.phase(DISTILL)
    sources = fingerprint_sources(settings)
    if resume:
        refuse_changed_sources(settings, run_dir, sources)
    if resume and phase_dir.is_done:
        with Reporter(run_dir.log, run_dir.tensorboard, console) as reporter:
            already_done(reporter, phase_dir, _TITLE)
    else:
        inputs = _prepare(settings, console, predict_test, logits_folder)
        # All inputs have been read and checked. Only now does the run write files.
        if not resume:
            set_run_aside(run_dir)
        inputs = replace(inputs, earlier_forwards=_earlier_forwards(run_dir))
        write_run_description(settings, run_dir)
        described = {**read_environment(run_dir.environment), SOURCES: sources, _FORWARDS: inputs.all_forwards}
        write_run_json(run_dir.environment, described)
        with Reporter(run_dir.log, run_dir.tensorboard, console) as reporter:
            reporter.say(f"run folder {run_dir.path}")
            reporter.log(f"settings {settings.to_json()}")
            _train(settings, inputs, run_dir, reporter)
    if predict_test:
        write_missing_predictions(settings, phase_dir, console)
    return run_dir


@dataclass(frozen=True)
class _TrainingInputs:
    """Checked inputs of the training.

    Attributes:
        teachers: Teachers in the order of the settings.
        student: Student before the first training step.
        objective: Objective to minimize.
        encoder: Encoder of the first teacher if intermediate representations are compared, else None.
        dev: Dev examples.
        transfer: Transfer set on which the student is trained.
        teacher_scores: Dev scores of each teacher.
        teacher_forwards: Number of examples whose teacher logits this call computed; 0 if all were cached.
        compression: Function that makes the callbacks for pruning or clustering; None without compression.
        earlier_forwards: Number of examples whose teacher logits earlier, interrupted calls of the run computed.
    """

    teachers: list[Teacher]
    student: PowerBertTextClassifier
    objective: Objective
    encoder: PowerBertBackbone | None
    dev: Examples
    transfer: TransferSet
    teacher_scores: list[dict[str, float]]
    teacher_forwards: int
    compression: CallbackMaker | None
    earlier_forwards: int = 0

    @property
    def all_forwards(self) -> int:
        return self.earlier_forwards + self.teacher_forwards


def _earlier_forwards(run_dir: RunDir) -> int:
    """Return how many examples earlier calls of a resumed run labeled; their logits are now in the cache."""
    return int(read_environment(run_dir.environment).get(_FORWARDS, 0))


def _prepare(settings: Distillation, console: Console, predict_test: bool, logits_folder: Path) -> _TrainingInputs:
    check_options(settings)  # fails before anything takes time
    prepare_sample(settings, console)
    task = settings.task_definition
    train_examples = read_training_examples(task, settings.data_dir, settings.train_examples)
    dev = read_examples(task, "dev", settings.data_dir)
    if predict_test:
        check_test_data(settings)
    for checkpoint in (settings.vocabulary, settings.start):
        prepare_checkpoint(checkpoint, console)
    teachers = [find_teacher(given, task, settings.teacher_max_length) for given in settings.teachers]
    keras.utils.set_random_seed(settings.seed)
    make_deterministic()
    student = _student(settings, teachers, train_examples)
    if "mask" in settings.augment:
        _check_masks(teachers, student)
    compression = compression_callbacks(settings, student)
    objective, encoder = _objective(settings, teachers, student)
    fill_masks = make_filler(needs_checkpoint(settings.lm_checkpoint)) if "lm" in settings.augment else None
    parts = collect_texts(settings, train_examples, fill_masks)
    cache = LogitCache(logits_folder, console)
    logits = [
        {name: cache.logits(teacher, texts, f"{name} of {task.name}") for name, texts in parts.items()}
        for teacher in teachers
    ]
    dev_logits = [cache.logits(teacher, dev, f"dev of {task.name}") for teacher in teachers]
    scores = [compute_scores(task.metrics, _labels(dev), to_predictions(task, values)) for values in dev_logits]
    targets = make_targets(parts, logits, task.is_regression)
    transfer = TransferSet(parts, targets)
    forwards = cache.computed_examples
    return _TrainingInputs(teachers, student, objective, encoder, dev, transfer, scores, forwards, compression)


def _student(settings: Distillation, teachers: list[Teacher], train_examples: Examples) -> PowerBertTextClassifier:
    if settings.continued is not None:
        return find_stored_phase(settings.continued).load_classifier()
    start = find_start(settings, teachers)
    keras.utils.set_random_seed(settings.seed)  # the initialization must not depend on what was loaded before
    return make_student(settings, start, train_examples.labels)


def _check_masks(teachers: list[Teacher], student: PowerBertTextClassifier) -> None:
    """Raise a UserError if a vocabulary lacks the mask of augmented texts; keras-hub teachers use their own mask."""
    readers = {f"teacher {teacher.name}": teacher.tokenizer for teacher in teachers if teacher.is_own}
    for name, tokenizer in {**readers, "the student": plain_tokenizer(student)}.items():
        if not has_mask(tokenizer):
            raise UserError(f"--augment mask: the vocabulary of {name} has no {MASK}; leave mask out of --augment")


def _labels(examples: Examples) -> np.ndarray:
    if examples.labels is None:
        raise ValueError("expected labeled examples")
    return examples.labels


def _train(settings: Distillation, inputs: _TrainingInputs, run_dir: RunDir, reporter: Reporter) -> None:
    phase_dir, started = run_dir.phase(DISTILL), time.perf_counter()
    phase_dir.path.mkdir(parents=True, exist_ok=True)
    tokenizer = plain_tokenizer(inputs.student)
    transfer = EncodedExamples.of(inputs.transfer.examples, tokenizer, settings.max_length)
    dev = EncodedExamples.of(inputs.dev, tokenizer, settings.max_length)
    if settings.continued is None:
        set_document_frequencies(inputs.student, transfer.encoded)
    context = RunContext(settings, run_dir, reporter, transfer, dev)
    _describe(settings, inputs, reporter)
    total_steps = -(-len(transfer.encoded) // settings.batch_size) * settings.epochs
    keras.utils.set_random_seed(settings.seed)
    model = Distiller(inputs.student, inputs.objective, total_steps, inputs.encoder)
    plan = TrainingPlan(
        _TITLE,
        settings.epochs,
        lambda fitted, steps: compile_with_adamw(
            fitted,
            steps,
            settings.learning_rate,
            settings.warmup,
            settings.weight_decay,
            settings.clip_norm,
            epsilon=settings.epsilon,
        ),
        "last" if inputs.compression else "best",  # pruning and clustering are complete only after the last epoch
        None,
        lambda history: write_metrics_csv(run_dir, (DISTILL,), phase_dir, history),
        inputs.transfer.targets,
        inputs.compression or (lambda done, total: []),
    )
    outcome = train_classifier(context, model, phase_dir, plan)
    eliminates = inputs.student.backbone.extraction == "hard"
    further = score_without_elimination(context, phase_dir, _TITLE) if eliminates else {}
    finish_phase(context, phase_dir, _TITLE, outcome, started, {**_figures(inputs), **further})


def _objective(
    settings: Distillation, teachers: list[Teacher], student: PowerBertTextClassifier
) -> tuple[Objective, PowerBertBackbone | None]:
    """Build the objective; also return the teacher's encoder if intermediate representations are compared."""
    if not settings.compares_inner_states:
        return make_objective(settings, None), None
    teacher = teachers[0]
    classifier = own_classifier(teacher, "--hidden-weight, --cosine-weight, --attention-weight")
    encoder = bert_of(classifier, f"teacher {teacher.name}")
    if not plain_tokenizer(classifier).reads_as(plain_tokenizer(student)):
        raise UserError(
            f"teacher {teacher.name} has another tokenizer than the student, so their intermediate representations "
            "cannot be compared; give the student the teacher's tokenizer with --vocabulary"
        )
    if settings.max_length > encoder.max_sequence_length:
        raise UserError(
            f"--max-length {settings.max_length} is over the {encoder.max_sequence_length} positions that teacher "
            f"{teacher.name} knows; give that or less"
        )
    inner = make_inner_objective(settings, student.backbone.num_layers, encoder.num_layers)
    return make_objective(settings, inner), encoder


def _describe(settings: Distillation, inputs: _TrainingInputs, reporter: Reporter) -> None:
    for teacher, scores in zip(inputs.teachers, inputs.teacher_scores, strict=True):
        reporter.say(f"teacher {teacher.name}: dev {format_scores(scores)}")
    if inputs.teachers:
        count = inputs.teacher_forwards
        inside = "; one encoder runs on every batch, to compare intermediate representations"
        inside = "" if inputs.encoder is None else inside
        reporter.say(f"teacher forwards: {f'{count} examples' if count else '0 (cached)'}{inside}")
    parts = ", ".join(f"{len(examples)} {name}" for name, examples in inputs.transfer.parts.items())
    reporter.say(f"{settings.task}: learns from {parts}; {len(inputs.dev)} dev examples")
    for line in describe_labels(settings.task_definition.class_names, inputs.transfer.parts["train"], inputs.dev):
        reporter.say(line)
    reporter.say(f"student {settings.student}: {inputs.student.count_params():,} parameters")


def _figures(inputs: _TrainingInputs) -> dict[str, Any]:
    """Return the entries of metrics.json that only a distillation run has."""
    return {
        "parameters": int(inputs.student.count_params()),
        "teachers": [
            {"name": teacher.name, "sha256": teacher.fingerprint, "scores": scores}
            for teacher, scores in zip(inputs.teachers, inputs.teacher_scores, strict=True)
        ],
        _FORWARDS: inputs.all_forwards,
        "transfer_examples": {name: len(examples) for name, examples in inputs.transfer.parts.items()},
    }
