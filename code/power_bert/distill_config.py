"""One frozen value describes one distilled run, another one an ensemble."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from power_bert.compression.blocks import SINGLE, parse_block
from power_bert.config import complete_task
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT, RUNS_FOLDER
from power_bert.model.retention_choice import resolve_retention_text
from power_bert.model.student_kinds import BERT, StudentDefaults, kind_of, student_defaults
from power_bert.settings import (
    Ranges,
    check_choices,
    check_ranges,
    check_task,
    check_types,
    settings_from_json,
    settings_to_json,
    task_of,
)
from power_bert.text.sources import is_tfds
from power_bert.text.task import Task

RANDOM, TEACHER = "random", "teacher"
AUGMENTATIONS = ("mask", "class", "ngram", "lm")
CHOICES: dict[str, tuple[str, ...]] = {
    "loss": ("kl", "mse"),
    "weighting": ("equal", "given", "confidence", "loss"),
    "attention_loss": ("mse", "kl"),
}


@dataclass(frozen=True)
class Distillation:
    """Everything that decides the outcome of a distilled run; written to the run folder before the first step.

    Values that may change in the course of the training are texts: "0.5", "linear:4:1" or "cosine:1:0".

    Attributes:
        task: name of a task, or "custom".
        data_dir: where its data lie.
        output_dir: the run folder.
        student: its name, such as "bilstm" or "bert-tiny".
        epochs: passes over the transfer set.
        batch_size: examples of a batch.
        learning_rate: peak rate.
        max_length: word pieces of an example at most, for the student.
        vocabulary: checkpoint whose tokenizer the student takes, or a vocab.txt; that of `start`, where it has one.
        teachers: what teaches; empty trains the student on the labels alone.
        kind: "distill".
        student_options: arguments of the student's encoder, as "units=150".
        start: "random", "teacher", or a checkpoint: where the student's weights come from.
        start_blocks: of a BERT student: blocks of what it starts from, "2,4,6"; None spreads them evenly.
        train_examples: training examples at most, chosen at random; None takes all.
        retention_config: of a BERT student: word-vectors that its blocks keep; None keeps all.
        continued: run whose student is trained on, in place of a new one; None for a new one.
        sparsity: share of each large weight that pruning sets to 0; 0 prunes nothing.
        block: rows x columns of a weight that become 0 together, "1x16"; "1x1" for single values.
        clusters: different values that each large weight ends with; 0 clusters nothing.
        teacher_max_length: word pieces of an example at most, for the teachers; None takes what they were trained with.
        alpha: weight of the true labels against the teachers.
        temperature: of soft labels.
        loss: "kl" compares soft labels, "mse" logits.
        weighting: how several teachers count: "equal", "given", "confidence" or "loss".
        teacher_weights: of weighting "given": "0.7,0.3".
        hidden_weight: of the squared difference of hidden states.
        cosine_weight: of their cosine.
        attention_weight: of the difference of attention.
        attention_loss: "mse" or "kl".
        layer_map: blocks that are compared, "1:3,2:6" (student:teacher); None spreads the student's over the teacher's.
        unlabelled: file of texts that the teachers label, as `stream_text_file` reads it; None has none.
        augment: kinds of augmentation; empty for none.
        augment_seed: of augmentation alone, so that students from several seeds learn from the same texts, which the
            teachers then label once; None takes `seed`.
        augment_copies: further texts made of each training text.
        mask_rate: share of words that augmentation masks.
        class_rate: share of words that it replaces by others of their class.
        ngram_rate: share of texts that it cuts to an n-gram.
        lm_rate: share of words that it replaces by a masked language model.
        lm_checkpoint: of augmentation "lm": a checkpoint with a masked-language-model head.
        seed: of initialisation, order, dropout and augmentation.
        warmup: share of updates with rising rate.
        weight_decay: decoupled.
        clip_norm: largest global norm of the gradient.
        epsilon: of AdamW, added to the root of the mean squared gradient.
        dropout: before the student's head.
        text_columns: as of `Experiment`, and likewise the rest.
        label_column: see there.
        labels: see there.
        metric: see there.
    """

    task: str
    data_dir: str
    output_dir: str
    student: str
    epochs: int
    batch_size: int
    learning_rate: float
    max_length: int
    vocabulary: str
    teachers: tuple[str, ...] = ()
    kind: str = "distill"
    student_options: tuple[str, ...] = ()
    start: str = RANDOM
    start_blocks: str | None = None
    retention_config: str | None = None
    train_examples: int | None = None
    continued: str | None = None
    sparsity: float = 0.0
    block: str = "1x1"
    clusters: int = 0
    teacher_max_length: int | None = None
    alpha: str = StudentDefaults.alpha
    temperature: str = StudentDefaults.temperature
    loss: str = "kl"
    weighting: str = "equal"
    teacher_weights: str | None = None
    hidden_weight: str = "0"
    cosine_weight: str = "0"
    attention_weight: str = "0"
    attention_loss: str = "mse"
    layer_map: str | None = None
    unlabelled: str | None = None
    augment: tuple[str, ...] = ()
    augment_seed: int | None = None
    augment_copies: int = 5
    mask_rate: float = 0.1
    class_rate: float = 0.1
    ngram_rate: float = 0.25
    lm_rate: float = 0.15
    lm_checkpoint: str | None = None
    seed: int = 0
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    epsilon: float = StudentDefaults.epsilon
    dropout: float = 0.1
    text_columns: tuple[str, ...] | None = None
    label_column: str | None = None
    labels: tuple[str, ...] | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        check_types(self, _variable)
        check_task(self, _variable)
        check_ranges(self, _RANGES, _variable)
        check_choices(self, {**CHOICES, "kind": ("distill",)}, _variable)
        if unknown := [kind for kind in self.augment if kind not in AUGMENTATIONS]:
            raise UserError(f"--augment {', '.join(unknown)}: unknown; expected some of {', '.join(AUGMENTATIONS)}")
        kind_of(self.student)
        _check_student(self)
        _check_teachers(self)
        _check_compression(self)

    @property
    def task_definition(self) -> Task:
        return task_of(self)

    def to_json(self) -> str:
        return settings_to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Distillation:
        """Read what `to_json` wrote; a UserError names `source` where that is damaged."""
        return settings_from_json(cls, text, source)


@dataclass(frozen=True)
class Ensemble:
    """An ensemble of finished runs.

    Attributes:
        task: of its members.
        data_dir: where the task's data lie.
        output_dir: the run folder.
        members: run folders.
        batch_size: examples of a batch, for evaluation.
        max_length: word pieces of an example at most.
        seed: of nothing; every run has one.
        kind: "ensemble".
        text_columns: as of `Experiment`, and likewise the rest.
        label_column: see there.
        labels: see there.
        metric: see there.
    """

    task: str
    data_dir: str
    output_dir: str
    members: tuple[str, ...]
    batch_size: int
    max_length: int
    seed: int = 0
    kind: str = field(default="ensemble")
    text_columns: tuple[str, ...] | None = None
    label_column: str | None = None
    labels: tuple[str, ...] | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        check_types(self, _variable)
        check_task(self, _variable)
        check_choices(self, {"kind": ("ensemble",)}, _variable)

    @property
    def task_definition(self) -> Task:
        return task_of(self)

    def to_json(self) -> str:
        return settings_to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Ensemble:
        """Read what `to_json` wrote; a UserError names `source` where that is damaged."""
        return settings_from_json(cls, text, source)


def _check_student(settings: Distillation) -> None:
    """What only a BERT student can do is asked of none other, nor what excludes each other."""
    given = {
        "--retention-config": settings.retention_config is not None,
        "--start-blocks": settings.start_blocks is not None,
        "--layer-map": settings.layer_map is not None,
        "--hidden-weight": not is_zero(settings.hidden_weight),
        "--cosine-weight": not is_zero(settings.cosine_weight),
        "--attention-weight": not is_zero(settings.attention_weight),
    }
    asked = [name for name, is_given in given.items() if is_given]
    if asked and kind_of(settings.student) != BERT:
        raise UserError(f"{', '.join(asked)}: for a BERT student alone, and {settings.student} is none; leave it out")
    if settings.start_blocks is not None and settings.start == RANDOM:
        raise UserError("--start-blocks: blocks of what? Give --start teacher or --start CHECKPOINT as well")
    inner = [name for name in asked if name.endswith("-weight")]
    if inner and settings.retention_config is not None:
        raise UserError(
            f"{', '.join(inner)} with --retention-config: the inner states of a student that eliminates word-vectors "
            "are shorter than the teacher's; distil without elimination first, then start from that run's model"
        )
    if inner and not settings.teachers:
        raise UserError(f"{', '.join(inner)} needs a teacher; give --teacher")


def is_zero(weight: str) -> bool:
    """Whether a weight that may change is nothing but 0, as in "0" and "0.0"."""
    try:
        return float(weight) == 0
    except ValueError:
        return False


def _check_compression(settings: Distillation) -> None:
    if parse_block(settings.block) != SINGLE and not settings.sparsity:
        raise UserError(f"--block {settings.block} is for pruning; give --sparsity as well")
    if settings.clusters == 1:
        raise UserError("--clusters 1: expected 2 to 256 values, or 0 for no clustering")


def _check_teachers(settings: Distillation) -> None:
    """What needs a teacher has one, and what counts them fits their number."""
    weights = [part for part in (settings.teacher_weights or "").split(",") if part]
    if settings.weighting == "given":
        values = [_positive(part) for part in weights]
        if len(values) != len(settings.teachers) or None in values:
            raise UserError(
                f"--teacher-weights {settings.teacher_weights or ''}: expected {len(settings.teachers)} positive "
                "numbers, one a teacher, as in 0.7,0.3"
            )
    elif weights:
        raise UserError("--teacher-weights is for --weighting given; leave it out")
    if settings.teachers:
        return
    for name, given in (
        ("--start teacher", settings.start == TEACHER),
        ("--augment", bool(settings.augment)),
        ("--unlabelled", settings.unlabelled is not None),
    ):
        if given:
            raise UserError(f"{name} needs a teacher; give --teacher")


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


_RANGES: Ranges = {
    "epochs": (1, 10000, "a whole number of epochs from 1"),
    "batch_size": (1, 4096, "1 to 4096 examples"),
    "learning_rate": (1e-9, 10.0, "a learning rate from 1e-9 to 10"),
    "max_length": (5, 4096, "5 to 4096 word pieces"),
    "teacher_max_length": (5, 4096, "5 to 4096 word pieces"),
    "augment_copies": (1, 1000, "1 to 1000 further texts of each training text"),
    "sparsity": (0.0, 0.99, "a share from 0 to 0.99"),
    "clusters": (0, 256, "2 to 256 values, or 0 for no clustering"),
    "mask_rate": (0.0, 1.0, "a share from 0 to 1"),
    "class_rate": (0.0, 1.0, "a share from 0 to 1"),
    "ngram_rate": (0.0, 1.0, "a share from 0 to 1"),
    "lm_rate": (0.0, 1.0, "a share from 0 to 1"),
    "seed": (0, 2**31 - 1, "a whole number from 0 to 2147483647"),
    "augment_seed": (0, 2**31 - 1, "a whole number from 0 to 2147483647"),
    "train_examples": (1, 10**9, "a whole number of training examples from 1"),
    "warmup": (0.0, 0.99, "a share from 0 to 0.99"),
    "weight_decay": (0.0, 1.0, "0 to 1"),
    "clip_norm": (1e-6, 1e6, "a positive norm"),
    "epsilon": (1e-12, 1.0, "a number from 1e-12 to 1"),
    "dropout": (0.0, 0.9, "a rate from 0 to 0.9"),
}
# Fields whose option has another name.
_OPTIONS = {
    "teachers": "teacher",
    "output_dir": "out",
    "student_options": "set",
}


def _variable(name: str) -> str:
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}"


def resolve_distillation(given: Mapping[str, Any]) -> Distillation:
    """The settings from the values a user gave; None, "" and () mean not given.

    Raises:
        UserError: an unknown key, a value of the wrong type or out of range; the message lists what is possible.
    """
    if unknown := sorted(set(given) - set(get_type_hints(Distillation))):
        raise UserError(f"unknown settings {', '.join(unknown)}")
    values = {name: _absolute(name, value) for name, value in given.items() if value not in (None, "", ())}
    if "retention_config" in values:
        values["retention_config"] = resolve_retention_text(values["retention_config"])
    task_defaults = complete_task(values)
    start = values.get("start", RANDOM)
    if start != RANDOM and "vocabulary" in values:
        raise UserError(f"--vocabulary with --start {start}: the student takes the tokenizer of what it starts from")
    defaults = student_defaults(values.setdefault("student", "bilstm"))
    values = {
        "epochs": defaults.epochs,
        "batch_size": defaults.batch_size,
        "learning_rate": defaults.learning_rate,
        "epsilon": defaults.epsilon,
        "alpha": defaults.alpha,
        "temperature": defaults.temperature,
        "max_length": defaults.max_length or task_defaults.max_length,
        "vocabulary": str(DEFAULT_CHECKPOINT) if start == RANDOM else start,
        **values,
    }
    values.setdefault("output_dir", str(_default_output_dir(values)))
    return Distillation(**values)


def _absolute(name: str, value: Any) -> Any:
    """A path that means the same from another working folder; anything else as it is."""
    if name == "teachers":
        return tuple(os.path.abspath(path) if Path(path).exists() else path for path in value)
    is_path = name in ("output_dir", "unlabelled") or (name == "data_dir" and not is_tfds(value))
    may_be_path = name in ("vocabulary", "start", "lm_checkpoint") and Path(value).exists()
    return os.path.abspath(value) if is_path or may_be_path else value


def _default_output_dir(values: Mapping[str, Any]) -> Path:
    """``checkpoints/runs/<task>/distill-<student>-<teachers>-<seed>``."""
    teachers = [Path(teacher).name for teacher in values.get("teachers", ())] or ["alone"]
    name = "-".join(["distill", values["student"], *teachers, f"seed{values.get('seed', 0)}"])
    return RUNS_FOLDER / str(values["task"]) / name.replace("/", "-").replace(":", "-")
