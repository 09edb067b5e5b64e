"""Settings of a run.

Values come from the built-in default, the task's default, that of small encoders, the environment (run.sh) and the
command line; later sources override earlier ones. An empty value means "not given".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic.dataclasses import dataclass

from power_bert.config.own_data import complete_custom_task, imply_custom_task
from power_bert.config.settings import (
    STRICT,
    Setting,
    Settings,
    check_names,
    declared_settings,
    given_values,
    number_text,
    own_defaults,
    usual_values,
)
from power_bert.config.shared_settings import (
    DEFAULT_TASK,
    ClipNorm,
    DataDir,
    LabelColumn,
    Labels,
    Metric,
    Seed,
    Similarity,
    TaskName,
    TextColumns,
    TrainExamples,
    Warmup,
    WeightDecay,
)
from power_bert.config.validation import RunSettings, check_task, present_task_name
from power_bert.elimination.retention_choice import resolve_retention_text
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT, GLUE_FOLDER, RUNS_FOLDER
from power_bert.model.checkpoints.location import stored_hidden_dim, stored_similarity
from power_bert.text.custom_task import CUSTOM, CUSTOM_DEFAULTS
from power_bert.text.glue_tasks import get_task
from power_bert.text.labeled_sets import SAMPLE
from power_bert.text.sources import is_tfds
from power_bert.text.table_rows import is_table_file
from power_bert.text.task import TaskDefaults

SAMPLE_FOLDER = GLUE_FOLDER / "sample"
_DEFAULT_HIDDEN_DIM = 384
# The paper's learning rates and batch sizes are for BERT-base, whose hidden size is 768. Encoders of up to this hidden
# size are better with these (docs/results/elimination.md).
_SMALL_HIDDEN_DIM = 512
_SMALL_ENCODER_LR_BERT = 1e-4
_SMALL_ENCODER_BATCH_SIZE = 32
_SMALL_ENCODERS = f"encoders with a hidden size of up to {_SMALL_HIDDEN_DIM}"
_EPOCHS = "a whole number of epochs from {low}"
_LEARNING_RATE = "a learning rate from {low} to {high}"


class _Effort(NamedTuple):
    """Defaults that EFFORT stands for."""

    epochs: int
    augment_copies: int


_EFFORTS = {"quick": _Effort(1, 0), "normal": _Effort(3, 0), "thorough": _Effort(5, 2)}


@dataclass(frozen=True, config=STRICT)
class Experiment(RunSettings):
    """Settings that determine the outcome of a run; stored in the run directory before the first step."""

    task: TaskName
    data_dir: DataDir
    checkpoint_path: Annotated[
        str,
        Setting(
            "Pretrained BERT: TF1 checkpoint, Hugging Face folder, keras-hub preset or hf://owner/name",
            default=str(DEFAULT_CHECKPOINT),
            default_text="all-MiniLM-L6-v2, fetched on first use",
        ),
    ]
    output_dir: Annotated[
        str, Setting("Run directory", default_text="checkpoints/runs/TASK/DATA-CHECKPOINT", in_card=False)
    ]
    epochs: Annotated[
        int,
        Setting(
            "Epochs of phase 1 and of phase 3",
            low=1,
            high=1000,
            expected=_EPOCHS,
            default_text="1, 3 or 5, by EFFORT",
            variable="EPOCH",
        ),
    ]
    search_epochs: Annotated[
        int,
        Setting(
            "Epochs of phase 2, the search; with SPEEDUP, of each stage but the last, which phase 3 trains; with "
            "MAX_LOSS, of every stage",
            low=1,
            high=1000,
            expected=_EPOCHS,
            default_text="EPOCH; with SPEEDUP or MAX_LOSS 1",
            variable="SEARCH_EPOCH",
        ),
    ]
    self_distill: Annotated[
        bool,
        Setting(
            "Self-distillation: whether phases 2 and 3 learn from the fine-tuned model of phase 1, besides the labels",
            option="self-distill/--no-self-distill",
            default_text="1 with SPEEDUP or MAX_LOSS, else 0",
        ),
    ]
    quantization_aware: Annotated[
        bool,
        Setting(
            "Quantization-aware training: whether phase 3 trains weights that int8 represents exactly",
            option="quantization-aware/--no-quantization-aware",
            default_text="1 with SPEEDUP or MAX_LOSS, else 0",
        ),
    ]
    augment_copies: Annotated[
        int,
        Setting(
            "Augmented texts per training text in phase 3, labeled by the fine-tuned model",
            low=0,
            high=100,
            expected="{low} to {high} augmented texts per training text",
            default_text="2 with EFFORT=thorough and self-distillation, else 0",
        ),
    ]
    batch_size: Annotated[
        int,
        Setting(
            "Examples per training batch",
            "examples",
            1,
            4096,
            default_of="task",
            default_text=f"the task's, {{task}}; at most {_SMALL_ENCODER_BATCH_SIZE} for {_SMALL_ENCODERS}",
        ),
    ]
    lr_bert: Annotated[
        float,
        Setting(
            "Peak learning rate of all weights except the retention parameters",
            low=1e-9,
            high=0.1,
            expected=_LEARNING_RATE,
            usual="2e-5 to 2e-4",
            default_of="task",
            default_text=f"{number_text(_SMALL_ENCODER_LR_BERT)} for {_SMALL_ENCODERS}, else the task's, {{task}}",
        ),
    ]
    lr_soft_extract: Annotated[
        float,
        Setting(
            "Learning rate of the retention parameters, in a search with LAMBDA",
            low=1e-9,
            high=1.0,
            expected=_LEARNING_RATE,
            usual="1e-4 to 1e-2",
            default_of="task",
        ),
    ]
    regularization: Annotated[
        float,
        Setting(
            "Weight λ of the regularizer λ · Σ_j j · mass(j) of the search",
            low=0.0,
            high=10.0,
            expected="λ from {low} to {high}",
            usual="1e-4 to 7e-3",
            default_of="task",
            variable="LAMBDA",
        ),
    ]
    max_length: Annotated[
        int, Setting("Max length of an example; longer ones are truncated", "tokens", 5, 4096, default_of="task")
    ]
    effort: Annotated[
        Literal["quick", "normal", "thorough"],
        Setting(
            "How long a run trains; sets the defaults of EPOCH and AUGMENT_COPIES",
            meanings={
                "quick": "1 epoch in each of phases 1 and 3",
                "normal": "3 epochs",
                "thorough": "5 epochs; with self-distillation, in phase 3 also on augmented texts",
            },
        ),
    ] = "normal"
    vocab_path: Annotated[str | None, Setting("Vocabulary (vocab.txt)", default_text="beside the checkpoint")] = None
    bert_config_path: Annotated[
        str | None, Setting("Configuration of the BERT (bert_config.json)", default_text="beside the checkpoint")
    ] = None
    seed: Seed = 0
    train_examples: TrainExamples = None
    cased: Annotated[
        bool | None,
        Setting("Whether the vocabulary is cased: 1, 0 or auto", default_text="auto, read from the checkpoint"),
    ] = None
    similarity: Annotated[Similarity, Setting("Similarity of the attention", default_text="the checkpoint's")] = "dot"
    gate: Annotated[
        Literal["visibility", "scale"],
        Setting(
            "What soft extraction, in a search with LAMBDA, multiplies by the retention parameters",
            meanings={
                "visibility": "the attention that later blocks pay to the tokens",
                "scale": "the hidden states, as in the paper",
            },
        ),
    ] = "visibility"
    retention_unit: Annotated[
        Literal["fraction", "tokens"],
        Setting(
            "Unit of the searched configuration; tokens only with LAMBDA",
            meanings={"fraction": "fractions of each example's tokens", "tokens": "numbers of tokens, as in the paper"},
        ),
    ] = "fraction"
    retention_profile: Annotated[
        Literal["step", "free", "threshold"],
        Setting(
            "Parameters that the search with LAMBDA learns in each block",
            meanings={
                "step": "the fraction of tokens to keep",
                "free": "one for each rank, as in the paper",
                "threshold": "a threshold of significance",
            },
        ),
    ] = "step"
    retention_jitter: Annotated[
        float,
        Setting(
            "Noise on the significance scores in re-training, for models that are quantized to int8",
            low=0.0,
            high=2.0,
            usual="0.1 to 0.5",
        ),
    ] = 0.0
    fuse: Annotated[
        bool,
        Setting(
            "Whether the tokens that a block drops are fused into one, their mean weighted by significance",
            option="fuse/--no-fuse",
        ),
    ] = False
    warmup: Warmup = 0.1
    weight_decay: WeightDecay = 0.01
    clip_norm: ClipNorm = 1.0
    dropout: Annotated[
        float | None,
        Setting(
            "Dropout rate of hidden states and attention",
            low=0.0,
            high=0.9,
            expected="a rate from {low} to {high}",
            default_text="the checkpoint's",
        ),
    ] = None
    speedup: Annotated[
        float | None,
        Setting(
            "Target of the search, in place of LAMBDA: FLOPs reduction, or speed-up with SPEEDUP_BY=latency",
            low=1.05,
            high=100.0,
            expected="{low} to {high} times",
            usual="1.5 to 4",
            default_text="none, LAMBDA is used",
        ),
    ] = None
    max_loss: Annotated[
        float | None,
        Setting(
            "Largest drop of the dev score, in points, below a baseline trained for as many epochs with nothing "
            "eliminated; the search takes the fastest configuration within it, with SPEEDUP one that also reaches "
            "that target",
            low=0.0,
            high=100.0,
            expected="{low} to {high} points",
            usual="0.5 to 2",
            default_text="none",
        ),
    ] = None
    speedup_by: Annotated[
        Literal["flops", "latency"],
        Setting(
            "Cost that the search reduces with SPEEDUP or MAX_LOSS",
            meanings={
                "flops": "floating-point operations, the same on every machine",
                "latency": "time in batches of 32 texts of similar length, measured on this machine",
            },
        ),
    ] = "flops"
    width: Annotated[
        bool,
        Setting(
            "With SPEEDUP or MAX_LOSS, also search how many attention heads and feed-forward neurons each block keeps",
            option="width/--no-width",
        ),
    ] = True
    retention_config: Annotated[
        str | None,
        Setting(
            "Retention configuration of phase 3, which skips the search: 64,48,… (tokens of each block), 1.0,0.8,… "
            "(fractions of each example's tokens) or a retention.json",
            default_text="found by the search",
        ),
    ] = None
    text_columns: TextColumns = None
    label_column: LabelColumn = None
    labels: Labels = None
    metric: Metric = None

    def __post_init__(self) -> None:
        check_task(self, self.spelled)
        if self.augment_copies and not self.self_distill:
            raise UserError(
                f"AUGMENT_COPIES={self.augment_copies} with SELF_DISTILL=0: nothing would label the augmented texts; "
                "leave AUGMENT_COPIES empty, or set SELF_DISTILL=1"
            )
        if self.retention_profile == "threshold" and self.retention_unit != "fraction":
            raise UserError(
                "RETENTION_PROFILE=threshold with RETENTION_UNIT=tokens: a threshold keeps a fraction of an example's "
                "tokens; leave RETENTION_UNIT empty"
            )
        if not self.has_target:
            return
        target = "MAX_LOSS" if self.speedup is None else "SPEEDUP"
        if self.retention_config is not None:
            raise UserError(
                f"{target} is a target of the search, and RETENTION_CONFIG skips the search; give one of them"
            )
        if self.retention_unit != "fraction":
            raise UserError(
                f"RETENTION_UNIT=tokens with {target}: a target is reached with fractions of each example's tokens; "
                f"leave RETENTION_UNIT empty, or give LAMBDA in place of {target}"
            )

    @property
    def has_target(self) -> bool:
        """Whether the search has a target (SPEEDUP, MAX_LOSS) in place of λ."""
        return self.speedup is not None or self.max_loss is not None

    @classmethod
    def spelled(cls, name: str) -> str:
        """Return the variable of run.sh."""
        return declared_settings(cls)[name].variable

    @classmethod
    def _repaired(cls, stored: dict[str, Any]) -> dict[str, Any]:
        # Runs of earlier versions know none of them.
        earlier = {"width": False, "self_distill": False, "quantization_aware": False, "augment_copies": 0}
        return super()._repaired(earlier | stored)


@dataclass(frozen=True, config=STRICT)
class RunFlags(Settings):
    """Flags of a call of `run`; they do not change the result of the experiment."""

    baseline: Annotated[
        bool,
        Setting(
            "Also train the baseline: fine-tuning with nothing eliminated for as many further epochs as phases 2 and 3",
            option="baseline/--no-baseline",
        ),
    ] = False
    pred_glue: Annotated[bool, Setting("Predict the test data in GLUE's format", option="pred-glue/--no-pred-glue")] = (
        True
    )
    eval_only: Annotated[
        bool, Setting("No training: score the run in OUTPUT_DIR, or a CHECKPOINT_PATH with a head, on dev")
    ] = False
    predict_only: Annotated[bool, Setting("No training: predict the test data with the model of EVAL_ONLY")] = False
    resume: Annotated[
        bool, Setting("Resume an interrupted run; 0 starts it from scratch", option="resume/--no-resume")
    ] = True

    @classmethod
    def spelled(cls, name: str) -> str:
        """Return the variable of run.sh."""
        return declared_settings(cls)[name].variable


def resolve_experiment(given: Mapping[str, Any]) -> Experiment:
    """Create the experiment from the values of a user; None and "" mean not given.

    Raises:
        UserError: A key is unknown, or a value has the wrong type or is out of range; the message lists the choices.
    """
    check_names(given, sorted(declared_settings(Experiment)))
    values = {name: _absolute(name, value) for name, value in given_values(Experiment, given).items()}
    if "cased" in values:
        values["cased"] = parse_cased(values["cased"])
    if "retention_config" in values:
        values["retention_config"] = resolve_retention_text(values["retention_config"])
    task_defaults = complete_task(values)
    values = usual_values(Experiment) | values
    values = own_defaults(Experiment, "task", defaults_for_encoder(task_defaults, _hidden_dim(values))) | values
    values.setdefault("similarity", stored_similarity(values["checkpoint_path"]))
    has_target = any(values.get(name) is not None for name in ("speedup", "max_loss"))
    effort = _EFFORTS.get(values.get("effort", "normal"), _EFFORTS["normal"])  # `Experiment` refuses unknown ones
    values.setdefault("epochs", effort.epochs)
    values.setdefault("search_epochs", 1 if has_target else values["epochs"])
    values.setdefault("self_distill", has_target)
    values.setdefault("quantization_aware", has_target)
    values.setdefault("augment_copies", effort.augment_copies if values["self_distill"] else 0)
    values.setdefault("output_dir", str(default_output_dir(values)))
    return Experiment(**values)


def defaults_for_encoder(defaults: TaskDefaults, hidden_dim: int | None) -> TaskDefaults:
    """Return the task's defaults, with the learning rate and batch size of small encoders if the encoder is one.

    Args:
        defaults: Defaults of the task; for GLUE the paper's, which are for BERT-base.
        hidden_dim: Hidden size of the encoder; None if it is unknown.
    """
    if hidden_dim is None or hidden_dim > _SMALL_HIDDEN_DIM:
        return defaults
    return replace(
        defaults,
        lr_bert=max(defaults.lr_bert, _SMALL_ENCODER_LR_BERT),
        batch_size=min(defaults.batch_size, _SMALL_ENCODER_BATCH_SIZE),
    )


def _hidden_dim(values: Mapping[str, Any]) -> int | None:
    if values["checkpoint_path"] == str(DEFAULT_CHECKPOINT):
        return _DEFAULT_HIDDEN_DIM  # also before it is downloaded
    return stored_hidden_dim(values["checkpoint_path"], values.get("bert_config_path"))


def parse_cased(value: Any) -> Any:
    """Parse CASED of run.sh: None for "auto"; a value that is not text is returned as it is.

    Raises:
        UserError: The text is none of the choices.
    """
    choices = {"auto": None, "1": True, "true": True, "0": False, "false": False}
    if not isinstance(value, str):
        return value
    if value.lower() not in choices:
        raise UserError(f"CASED={value!r} is unknown: expected 1 (cased), 0 (uncased) or auto")
    return choices[value.lower()]


def complete_task(values: dict[str, Any]) -> TaskDefaults:
    """Fill in the settings that follow from the task and its data; return the task's defaults."""
    imply_custom_task(values)
    # `bash run.sh download` writes the official data to GLUE_FOLDER; the sample is the default for cola only.
    if values.setdefault("task", DEFAULT_TASK) == DEFAULT_TASK and "data_dir" not in values:
        values["task"] = SAMPLE
    values["task"] = present_task_name(values)
    name = values["task"]
    if name == CUSTOM:
        complete_custom_task(values)
        return CUSTOM_DEFAULTS
    task = get_task(name)
    values.setdefault("data_dir", str((SAMPLE_FOLDER if name == SAMPLE else GLUE_FOLDER) / task.folder))
    return task.defaults


def _absolute(name: str, value: Any) -> Any:
    """Return an absolute path for a path setting; any other value, such as a preset's name, unchanged."""
    if name == "checkpoint_path":
        is_path = Path(value).exists() or Path(f"{value}.index").exists()
    elif name == "data_dir":
        is_path = not is_tfds(value)
    else:
        is_path = name in ("output_dir", "vocab_path", "bert_config_path")
    return os.path.abspath(value) if is_path else value


# Generic names of Google's checkpoints and of this project's models; their parent folder has the informative name.
_NAMES_OF_ANY_CHECKPOINT = ("bert_model.ckpt", "model")


def default_output_dir(values: Mapping[str, Any]) -> Path:
    """Return ``checkpoints/runs/<task>/<data>-<checkpoint>``."""
    if is_tfds(values["data_dir"]):
        data = values["data_dir"].translate(str.maketrans(":/", "--"))
    else:
        folder = Path(values["data_dir"]).resolve()
        data = folder.stem if is_table_file(folder) else f"{folder.parent.name}-{folder.name}"
    return RUNS_FOLDER / values["task"] / f"{data}-{checkpoint_name(values['checkpoint_path'])}"


def checkpoint_name(checkpoint_path: str) -> str:
    """Return the last informative part of a checkpoint's path."""
    *folders, name = str(checkpoint_path).rstrip("/").split("/")
    return folders[-1] if name in _NAMES_OF_ANY_CHECKPOINT and folders else name
