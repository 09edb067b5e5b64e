"""The job of `bash run.sh distill`: from settings to a finished run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from power_bert.compression.callbacks import CallbackMaker, compression_callbacks
from power_bert.distill.augmentation import MASK
from power_bert.distill.distiller import Distiller
from power_bert.distill.logit_cache import LogitCache
from power_bert.distill.masked_words import make_filler, needs_checkpoint
from power_bert.distill.objective import Objective
from power_bert.distill.recipe import compares_inner_states, read_inner_objective, read_objective
from power_bert.distill.sources import SOURCES, fingerprint_sources, refuse_changed_sources
from power_bert.distill.student import (
    bert_of,
    find_start,
    make_student,
    own_classifier,
    parse_options,
    set_document_frequencies,
)
from power_bert.distill.teachers import Teacher, find_teacher
from power_bert.distill.transfer_set import TransferSet, collect_texts, make_targets
from power_bert.distill_config import Distillation
from power_bert.errors import UserError
from power_bert.folders import LOGITS_FOLDER
from power_bert.locks import writes
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import plain_tokenizer
from power_bert.run_dir import DISTILL, RunDir, write_json
from power_bert.run_documents import read_environment
from power_bert.text.examples import Examples, read_examples, read_training_examples
from power_bert.text.label_counts import describe_labels
from power_bert.train.driver import check_test_data, prepare_checkpoint, prepare_sample, write_run_description
from power_bert.train.environment import make_deterministic
from power_bert.train.metrics import compute_scores, format_scores
from power_bert.train.phase_end import already_done, finish_phase, write_metrics_csv
from power_bert.train.predict import to_predictions
from power_bert.train.predicting_test_sets import write_missing_predictions
from power_bert.train.reporting import Reporter
from power_bert.train.run_folder import check_run_dir, set_aside
from power_bert.train.stored_run import load_stored_run
from power_bert.train.training import RunContext, Split, TrainingPlan, compile_with_adamw, train
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
    """Train a student on what its teachers say, or on the labels alone; goes on with an interrupted run.

    Args:
        settings: what to run.
        resume: False sets an earlier run in the same folder aside and starts anew.
        console: where to print; the terminal by default.
        predict_test: whether the test data are predicted in GLUE's form.
        logits_folder: the cache of the teachers' logits.

    Raises:
        UserError: bad input; nothing finished is lost.
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
        lessons = _prepare(settings, console, predict_test, logits_folder)
        # All input has been read and checked: only now does the run leave a trace.
        if not resume:
            set_aside(run_dir)
        lessons = replace(lessons, earlier_forwards=_earlier_forwards(run_dir))
        write_run_description(settings, run_dir)
        described = {**read_environment(run_dir.environment), SOURCES: sources, _FORWARDS: lessons.all_forwards}
        write_json(run_dir.environment, described)
        with Reporter(run_dir.log, run_dir.tensorboard, console) as reporter:
            reporter.say(f"run folder {run_dir.path}")
            reporter.log(f"settings {settings.to_json()}")
            _train(settings, lessons, run_dir, reporter)
    if predict_test:
        write_missing_predictions(settings, phase_dir, console)
    return run_dir


@dataclass(frozen=True)
class _Lessons:
    """Everything that training needs, read and checked.

    Attributes:
        teachers: in the order of the settings.
        student: before the first update.
        objective: what is minimised.
        encoder: of the first teacher, where inner states are compared.
        dev: the dev data.
        transfer: what the student learns from.
        teacher_scores: dev scores of each teacher.
        teacher_forwards: for how many examples this call has had a teacher's logits computed; 0 where all were cached.
        compression: makes the callbacks that prune or cluster; None where nothing is to be compressed.
        earlier_forwards: examples as of teacher_forwards, of earlier calls of the run, which were interrupted.
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
    """A run that goes on has had the logits computed that it now finds in the cache."""
    return int(read_environment(run_dir.environment).get(_FORWARDS, 0))


def _prepare(settings: Distillation, console: Console, predict_test: bool, logits_folder: Path) -> _Lessons:
    read_objective(settings, None)  # what is wrong with it is said before anything takes time
    parse_options(settings)
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
    return _Lessons(teachers, student, objective, encoder, dev, transfer, scores, forwards, compression)


def _student(settings: Distillation, teachers: list[Teacher], train_examples: Examples) -> PowerBertTextClassifier:
    if settings.continued is not None:
        return load_stored_run(settings.continued).classifier
    start = find_start(settings, teachers)
    keras.utils.set_random_seed(settings.seed)  # whatever has been loaded before, the student starts alike
    return make_student(settings, start, train_examples.labels)


def _check_masks(teachers: list[Teacher], student: PowerBertTextClassifier) -> None:
    """Raises a UserError where the mask of augmented texts is not in a vocabulary; other teachers have their own."""
    readers = {f"teacher {teacher.name}": teacher.tokenizer for teacher in teachers if teacher.is_own}
    for name, tokenizer in {**readers, "the student": plain_tokenizer(student)}.items():
        if tokenizer.settings.mask_token != MASK or MASK not in tokenizer.vocabulary:
            raise UserError(f"--augment mask: the vocabulary of {name} has no {MASK}; leave mask out of --augment")


def _labels(examples: Examples) -> np.ndarray:
    if examples.labels is None:
        raise ValueError("expected labelled examples")
    return examples.labels


def _train(settings: Distillation, lessons: _Lessons, run_dir: RunDir, reporter: Reporter) -> None:
    phase_dir, started = run_dir.phase(DISTILL), time.perf_counter()
    phase_dir.path.mkdir(parents=True, exist_ok=True)
    tokenizer = plain_tokenizer(lessons.student)
    transfer = Split.of(lessons.transfer.examples, tokenizer, settings.max_length)
    dev = Split.of(lessons.dev, tokenizer, settings.max_length)
    if settings.continued is None:
        set_document_frequencies(lessons.student, transfer.encoded)
    context = RunContext(settings, run_dir, reporter, transfer, dev)
    _describe(settings, lessons, reporter)
    total_steps = -(-len(transfer.encoded) // settings.batch_size) * settings.epochs
    keras.utils.set_random_seed(settings.seed)
    model = Distiller(lessons.student, lessons.objective, total_steps, lessons.encoder)
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
        "last" if lessons.compression else "best",  # before the last epoch, pruning and clustering are not at their end
        None,
        lambda history: write_metrics_csv(run_dir, (DISTILL,), phase_dir, history),
        lessons.transfer.targets,
        lessons.compression or (lambda done, total: []),
    )
    outcome = train(context, model, phase_dir, plan)
    eliminates = lessons.student.backbone.extraction == "hard"
    further = score_without_elimination(context, phase_dir, _TITLE) if eliminates else {}
    finish_phase(context, phase_dir, _TITLE, outcome, started, {**_figures(lessons), **further})


def _objective(
    settings: Distillation, teachers: list[Teacher], student: PowerBertTextClassifier
) -> tuple[Objective, PowerBertBackbone | None]:
    """The objective, and the encoder with which inner states are compared."""
    if not compares_inner_states(settings):
        return read_objective(settings, None), None
    teacher = teachers[0]
    classifier = own_classifier(teacher, "--hidden-weight, --cosine-weight, --attention-weight")
    encoder = bert_of(classifier, f"teacher {teacher.name}")
    if not plain_tokenizer(classifier).reads_as(plain_tokenizer(student)):
        raise UserError(
            f"teacher {teacher.name} reads other word pieces than the student, so their inner states cannot be "
            "compared; give the student the teacher's tokenizer with --vocabulary"
        )
    if settings.max_length > encoder.max_sequence_length:
        raise UserError(
            f"--max-length {settings.max_length} is over the {encoder.max_sequence_length} positions that teacher "
            f"{teacher.name} knows; give that or less"
        )
    inner = read_inner_objective(settings, student.backbone.num_layers, encoder.num_layers)
    return read_objective(settings, inner), encoder


def _describe(settings: Distillation, lessons: _Lessons, reporter: Reporter) -> None:
    for teacher, scores in zip(lessons.teachers, lessons.teacher_scores, strict=True):
        reporter.say(f"teacher {teacher.name}: dev {format_scores(scores)}")
    if lessons.teachers:
        count = lessons.teacher_forwards
        inside = "; one encoder runs on every batch, to compare inner states" if lessons.encoder is not None else ""
        reporter.say(f"teacher forwards: {f'{count} examples' if count else '0 (cached)'}{inside}")
    parts = ", ".join(f"{len(examples)} {name}" for name, examples in lessons.transfer.parts.items())
    reporter.say(f"{settings.task}: learns from {parts}; {len(lessons.dev)} dev examples")
    for line in describe_labels(settings.task_definition.labels, lessons.transfer.parts["train"], lessons.dev):
        reporter.say(line)
    reporter.say(f"student {settings.student}: {lessons.student.count_params():,} parameters")


def _figures(lessons: _Lessons) -> dict[str, Any]:
    """What metrics.json has beside what every phase leaves."""
    return {
        "parameters": int(lessons.student.count_params()),
        "teachers": [
            {"name": teacher.name, "sha256": teacher.fingerprint, "scores": scores}
            for teacher, scores in zip(lessons.teachers, lessons.teacher_scores, strict=True)
        ],
        _FORWARDS: lessons.all_forwards,
        "transfer_examples": {name: len(examples) for name, examples in lessons.transfer.parts.items()},
    }
