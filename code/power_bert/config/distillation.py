"""Settings of a distilled run and of an ensemble."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, InstanceOf
from pydantic.dataclasses import dataclass

from power_bert.config.experiment import complete_task
from power_bert.config.settings import (
    LARGEST,
    STRICT,
    Setting,
    check_names,
    declared_settings,
    given_values,
    number_text,
    own_defaults,
    read_by,
    usual_values,
)
from power_bert.config.shared_settings import (
    ClipNorm,
    DataDir,
    LabelColumn,
    Labels,
    Metric,
    Seed,
    TaskName,
    TextColumns,
    TrainExamples,
    Warmup,
    WeightDecay,
)
from power_bert.config.validation import RunSettings, check_task
from power_bert.config.values import (
    SINGLE,
    LayerMap,
    Schedule,
    SparsityBlock,
    parse_assignments,
    parse_block_numbers,
    parse_names,
    parse_numbers,
)
from power_bert.elimination.retention_choice import resolve_retention_text
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT, RUNS_FOLDER
from power_bert.model.student_kinds import (
    BERT,
    STUDENT_NAMES,
    StudentDefaults,
    bert_size,
    kind_of,
    student_defaults,
)
from power_bert.text.sources import is_tfds

RANDOM, TEACHER = "random", "teacher"
DEFAULT_STUDENT = "bilstm"
_FRACTION = "a fraction from {low} to {high}"
_SCHEDULE = "; a number, or a schedule from start to end: linear:4:1, cosine:1:0"
_INNER_WEIGHTS = ("hidden_weight", "cosine_weight", "attention_weight")


def _scheduled(fits: Callable[[Schedule], bool], expected: str) -> AfterValidator:
    """Let pydantic refuse a schedule that has values out of range."""

    def check(schedule: Schedule) -> Schedule:
        if not fits(schedule):
            raise ValueError(f"expected {expected}")
        return schedule

    return AfterValidator(check)


_ANY_SCHEDULE = Annotated[InstanceOf[Schedule], read_by(Schedule.parse)]
_WEIGHT = Annotated[
    _ANY_SCHEDULE,
    _scheduled(
        lambda schedule: schedule.smallest >= 0,
        "a weight of at least 0, or a schedule such as linear:0.5:0.1",
    ),
]
NO_WEIGHT = Schedule.constant(0.0)


def _rate(help_text: str) -> Setting:
    return Setting(help_text, low=0.0, high=1.0, expected=_FRACTION, counts_with=("augment",))


@dataclass(frozen=True, config=STRICT)
class Distillation(RunSettings):
    """Settings that determine the outcome of a distilled run; stored in the run directory before the first step."""

    task: TaskName
    data_dir: DataDir
    output_dir: Annotated[
        str,
        Setting("Run directory", default_text="checkpoints/runs/TASK/distill-…", option="out", in_card=False),
    ]
    student: Annotated[str, Setting(f"Student: {', '.join(STUDENT_NAMES)}", default=DEFAULT_STUDENT)]
    epochs: Annotated[
        int,
        Setting(
            "Epochs over the transfer set: training, augmented and unlabeled texts",
            low=1,
            high=10000,
            expected="a whole number of epochs from {low}",
            default_of="student",
        ),
    ]
    batch_size: Annotated[int, Setting("Examples of a training batch", "examples", 1, 4096, default_of="student")]
    learning_rate: Annotated[
        float,
        Setting(
            "Peak learning rate",
            low=1e-9,
            high=10.0,
            expected="a learning rate from {low} to {high}",
            default_of="student",
        ),
    ]
    max_length: Annotated[
        int,
        Setting(
            "Max length of an example for the student; longer ones are truncated",
            "tokens",
            5,
            4096,
            default_of="student",
            default_text="the student's, or the task's",
        ),
    ]
    vocabulary: Annotated[
        str,
        Setting(
            "Checkpoint whose tokenizer the student takes, or a vocab.txt",
            default_text="that of --start, or all-MiniLM-L6-v2's",
        ),
    ]
    teachers: Annotated[
        tuple[str, ...],
        Setting(
            "Teacher: run directory, keras-hub text classifier (preset or folder) or Hugging Face sequence classifier; "
            "none trains the student without a teacher; repeatable for several teachers",
            option="teacher",
            is_repeatable=True,
        ),
    ] = ()
    kind: Annotated[Literal["distill"], Setting("Kind of the run", has_option=False, in_card=False)] = "distill"
    student_options: Annotated[
        dict[str, Any],
        read_by(parse_assignments),
        Setting(
            "An argument of the student's encoder, such as units=150; repeatable", option="set", is_repeatable=True
        ),
    ] = field(default_factory=dict)
    start: Annotated[
        str, Setting("Origin of the student's initial weights or embeddings: random, teacher, or a checkpoint")
    ] = RANDOM
    start_blocks: Annotated[
        tuple[int, ...] | None,
        read_by(parse_block_numbers),
        Setting("Blocks of --start that initialize a BERT student, such as 2,4,6", default_text="evenly spread"),
    ] = None
    retention_config: Annotated[
        str | None,
        Setting(
            "Retention configuration of a BERT student: 1.0,0.5 (fractions) or 64,8 (tokens)",
            default_text="no elimination",
        ),
    ] = None
    train_examples: TrainExamples = None
    continued: Annotated[
        str | None, Setting("Run whose student is trained further, in place of a new one", has_option=False)
    ] = None
    sparsity: Annotated[
        float,
        Setting("Fraction of each large weight matrix that pruning sets to 0", low=0.0, high=0.99, expected=_FRACTION),
    ] = 0.0
    block: Annotated[
        InstanceOf[SparsityBlock],
        read_by(SparsityBlock.parse),
        Setting("Block of a weight matrix that is pruned as a whole, rows x columns, with --sparsity, such as 1x16"),
    ] = SINGLE
    clusters: Annotated[
        int,
        Setting(
            "Number of distinct values that each large weight matrix ends with",
            low=0,
            high=256,
            expected="2 to {high} values, or 0 for no clustering",
            default_text="0, no clustering",
        ),
    ] = 0
    teacher_max_length: Annotated[
        int | None,
        Setting(
            "Max length of an example for the teachers",
            "tokens",
            5,
            4096,
            default_text="the one that they were trained with",
        ),
    ] = None
    alpha: Annotated[
        _ANY_SCHEDULE,
        _scheduled(
            lambda schedule: schedule.smallest >= 0 and schedule.largest <= 1,
            "a weight from 0 to 1, or a schedule such as linear:0.5:0.1",
        ),
        Setting(
            f"Weight of the loss on the labels; the loss on the teachers' outputs has the weight 1 − alpha{_SCHEDULE}",
            default_of="student",
            counts_with=("teachers",),
        ),
    ] = Schedule.constant(StudentDefaults.alpha)
    temperature: Annotated[
        _ANY_SCHEDULE,
        _scheduled(
            lambda schedule: schedule.smallest > 0,
            "a number above 0 (usual: 1 to 10), or a schedule such as linear:4:1",
        ),
        Setting(f"Temperature of the soft labels{_SCHEDULE}", default_of="student", counts_with=("teachers",)),
    ] = Schedule.constant(StudentDefaults.temperature)
    loss: Annotated[
        Literal["kl", "mse"],
        Setting(
            "Distillation loss",
            meanings={"kl": "KL divergence of soft labels", "mse": "mean squared error of logits"},
            counts_with=("teachers",),
        ),
    ] = "kl"
    weighting: Annotated[
        Literal["equal", "given", "confidence", "loss"],
        Setting(
            "Weighting of several teachers",
            meanings={
                "equal": "the same weight for each",
                "given": "--teacher-weights",
                "confidence": "per example, by the confidence of each teacher",
                "loss": "per example, by the loss of each teacher on the label",
            },
            counts_with=("teachers",),
        ),
    ] = "equal"
    teacher_weights: Annotated[
        tuple[float, ...] | None,
        read_by(parse_numbers),
        Setting("Weights of the teachers with --weighting given, such as 0.7,0.3"),
    ] = None
    hidden_weight: Annotated[
        _WEIGHT,
        Setting(
            f"Weight of the mean squared error between hidden states{_SCHEDULE}",
            counts_with=("hidden_weight",),
        ),
    ] = NO_WEIGHT
    cosine_weight: Annotated[
        _WEIGHT,
        Setting(f"Weight of the cosine distance between hidden states{_SCHEDULE}", counts_with=("cosine_weight",)),
    ] = NO_WEIGHT
    attention_weight: Annotated[
        _WEIGHT,
        Setting(f"Weight of the attention loss{_SCHEDULE}", counts_with=("attention_weight",)),
    ] = NO_WEIGHT
    attention_loss: Annotated[
        Literal["mse", "kl"],
        Setting(
            "Attention loss",
            meanings={"mse": "mean squared error", "kl": "Kullback-Leibler divergence"},
            counts_with=_INNER_WEIGHTS,
        ),
    ] = "mse"
    layer_map: Annotated[
        InstanceOf[LayerMap] | None,
        read_by(LayerMap.parse),
        Setting(
            "Blocks whose hidden states and attention are compared, student:teacher, such as 1:3,2:6",
            default_text="evenly spread",
        ),
    ] = None
    unlabelled: Annotated[
        str | None,
        Setting(
            "File of unlabeled texts for the teachers to label: one per line, pairs with a tab; or .csv or .jsonl",
        ),
    ] = None
    augment: Annotated[
        tuple[Literal["mask", "class", "ngram", "lm"], ...],
        read_by(parse_names),
        Setting(
            "Kinds of augmentation, separated by commas",
            meanings={
                "mask": "mask words",
                "class": "replace words by others of their part of speech",
                "ngram": "replace a text by one of its n-grams",
                "lm": "replace words by a masked language model",
            },
        ),
    ] = ()
    augment_seed: Annotated[
        int | None,
        Setting(
            "Seed of augmentation; runs with several seeds and one augmentation seed use the same augmented texts",
            low=0,
            high=LARGEST,
            expected="a whole number from {low} to {high}",
            default_text="--seed",
        ),
    ] = None
    augment_copies: Annotated[
        int,
        Setting(
            "Augmented texts per training text",
            low=1,
            high=1000,
            expected="{low} to {high} augmented texts per training text",
            counts_with=("augment",),
        ),
    ] = 5
    mask_rate: Annotated[float, _rate("Fraction of words that are masked")] = 0.1
    class_rate: Annotated[float, _rate("Fraction of words that are replaced within their class")] = 0.1
    ngram_rate: Annotated[float, _rate("Fraction of texts that are replaced by one of their n-grams")] = 0.25
    lm_rate: Annotated[float, _rate("Fraction of words that a masked language model replaces")] = 0.15
    lm_checkpoint: Annotated[
        str | None, Setting("Checkpoint with a masked language model's head, for --augment lm")
    ] = None
    seed: Seed = 0
    warmup: Warmup = 0.1
    weight_decay: WeightDecay = 0.01
    clip_norm: ClipNorm = 1.0
    epsilon: Annotated[
        float,
        Setting(
            "Epsilon of AdamW, which is added to the root of the mean squared gradient",
            low=1e-12,
            high=1.0,
            expected="a number from {low} to {high}",
            default_of="student",
        ),
    ] = StudentDefaults.epsilon
    dropout: Annotated[
        float,
        Setting("Dropout rate before the student's head", low=0.0, high=0.9, expected="a rate from {low} to {high}"),
    ] = 0.1
    text_columns: TextColumns = None
    label_column: LabelColumn = None
    labels: Labels = None
    metric: Metric = None

    def __post_init__(self) -> None:
        check_task(self, self.spelled)
        kind_of(self.student)
        _check_student(self)
        _check_teachers(self)
        _check_compression(self)

    @property
    def compares_inner_states(self) -> bool:
        """Whether intermediate representations are compared: one of their weights is above zero at some step."""
        return any(getattr(self, name).largest > 0 for name in _INNER_WEIGHTS)

    @classmethod
    def spelled(cls, name: str) -> str:
        """Return the option."""
        return declared_settings(cls)[name].option


@dataclass(frozen=True, config=STRICT)
class Ensemble(RunSettings):
    """Settings of an ensemble of finished runs."""

    task: TaskName
    data_dir: DataDir
    output_dir: Annotated[str, Setting("Run directory", option="out", in_card=False)]
    members: Annotated[tuple[str, ...], Setting("Run directories of the members", has_option=False)]
    batch_size: Annotated[int, Setting("Examples of a batch in evaluation", "examples", has_option=False)]
    max_length: Annotated[int, Setting("Max length of an example", "tokens", has_option=False)]
    seed: Annotated[
        int, Setting("Seed without effect, because nothing is random; every kind of run has one", has_option=False)
    ] = 0
    kind: Annotated[Literal["ensemble"], Setting("Kind of the run", has_option=False, in_card=False)] = "ensemble"
    text_columns: TextColumns = None
    label_column: LabelColumn = None
    labels: Labels = None
    metric: Metric = None

    def __post_init__(self) -> None:
        check_task(self, self.spelled)

    @classmethod
    def spelled(cls, name: str) -> str:
        """Return the option."""
        return declared_settings(cls)[name].option


def _check_student(settings: Distillation) -> None:
    """Check that BERT options are given for a BERT student only, and that no two exclude each other."""
    inner = [settings.spelled(name) for name in _INNER_WEIGHTS if getattr(settings, name) != NO_WEIGHT]
    of_bert = ("retention_config", "start_blocks", "layer_map")
    asked = [*(settings.spelled(name) for name in of_bert if getattr(settings, name) is not None), *inner]
    if asked and kind_of(settings.student) != BERT:
        raise UserError(f"{', '.join(asked)}: for BERT students only, and {settings.student} is none; leave it out")
    if settings.start_blocks is not None:
        _check_start_blocks(settings, settings.start_blocks)
    if inner and settings.retention_config is not None:
        raise UserError(
            f"{', '.join(inner)} with --retention-config: a student that eliminates tokens has fewer hidden "
            "states than the teacher; distill without elimination first, then start from that run's model"
        )
    if inner and not settings.teachers:
        raise UserError(f"{', '.join(inner)} needs a teacher; give --teacher")
    if settings.layer_map is not None and not settings.compares_inner_states:
        raise UserError(
            f"--layer-map {settings.layer_map} has no effect by itself; give --hidden-weight, --cosine-weight or "
            "--attention-weight as well"
        )


def _check_start_blocks(settings: Distillation, blocks: tuple[int, ...]) -> None:
    if settings.start == RANDOM:
        raise UserError("--start-blocks selects blocks of --start; give --start teacher or --start CHECKPOINT as well")
    expected = bert_size(settings.student.partition("-")[2])["num_layers"]
    if len(blocks) != expected:
        given = ",".join(map(str, blocks))
        raise UserError(f"--start-blocks {given}: expected {expected} numbers of blocks, as in 2,4,6")


def _check_compression(settings: Distillation) -> None:
    if settings.block != SINGLE and not settings.sparsity:
        raise UserError(f"--block {settings.block} is for pruning; give --sparsity as well")
    if settings.clusters == 1:
        raise UserError("--clusters 1: expected 2 to 256 values, or 0 for no clustering")


def _check_teachers(settings: Distillation) -> None:
    """Check that options for teachers come with teachers, and that the teacher weights fit their number."""
    weights = settings.teacher_weights or ()
    if settings.weighting == "given" and len(weights) != len(settings.teachers):
        raise UserError(
            f"--teacher-weights {','.join(map(number_text, weights))}: expected {len(settings.teachers)} positive "
            "numbers, one per teacher, as in 0.7,0.3"
        )
    if settings.weighting != "given" and weights:
        raise UserError("--teacher-weights is for --weighting given; leave it out")
    if settings.weighting == "confidence" and settings.task_definition.is_regression:
        raise UserError(
            "--weighting confidence: a teacher that predicts scores has no confidence; give equal, given or loss"
        )
    if settings.teachers:
        return
    for name, given in (
        ("--start teacher", settings.start == TEACHER),
        ("--augment", bool(settings.augment)),
        ("--unlabelled", settings.unlabelled is not None),
    ):
        if given:
            raise UserError(f"{name} needs a teacher; give --teacher")


def resolve_distillation(given: Mapping[str, Any]) -> Distillation:
    """Create the settings from the values of a user; None, "" and () mean not given.

    Raises:
        UserError: A key is unknown, or a value has the wrong type or is out of range; the message lists the choices.
    """
    check_names(given, sorted(declared_settings(Distillation)))
    values = {name: _absolute(name, value) for name, value in given_values(Distillation, given).items()}
    if "retention_config" in values:
        values["retention_config"] = resolve_retention_text(values["retention_config"])
    task_defaults = complete_task(values)
    start = values.get("start", RANDOM)
    if start != RANDOM and "vocabulary" in values:
        raise UserError(f"--vocabulary with --start {start}: the student takes the tokenizer of what it starts from")
    values = usual_values(Distillation) | values
    own = own_defaults(Distillation, "student", student_defaults(values["student"]))
    values = {
        "max_length": task_defaults.max_length,
        "vocabulary": str(DEFAULT_CHECKPOINT) if start == RANDOM else start,
        **own,
        **values,
    }
    values.setdefault("output_dir", str(_default_output_dir(values)))
    return Distillation(**values)


def _absolute(name: str, value: Any) -> Any:
    """Return an absolute path for a path setting; any other value unchanged."""
    if name == "teachers":
        return tuple(os.path.abspath(path) if Path(path).exists() else path for path in value)
    is_path = name in ("output_dir", "unlabelled") or (name == "data_dir" and not is_tfds(value))
    may_be_path = name in ("vocabulary", "start", "lm_checkpoint") and Path(value).exists()
    return os.path.abspath(value) if is_path or may_be_path else value


def _default_output_dir(values: Mapping[str, Any]) -> Path:
    """Return ``checkpoints/runs/<task>/distill-<student>-<teachers>-<seed>``."""
    teachers = [Path(teacher).name for teacher in values.get("teachers", ())] or ["alone"]
    name = "-".join(["distill", values["student"], *teachers, f"seed{values.get('seed', 0)}"])
    return RUNS_FOLDER / str(values["task"]) / name.replace("/", "-").replace(":", "-")
