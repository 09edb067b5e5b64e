"""One frozen value describes one run.

Values come from, in rising order: the built-in default, the task's own default, the environment or the command line
(the command line reads the environment of run.sh). An empty value means "not given".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from power_bert.errors import UserError, shorten
from power_bert.folders import DEFAULT_CHECKPOINT, GLUE_FOLDER, RUNS_FOLDER
from power_bert.model.checkpoints.location import stored_similarity
from power_bert.model.retention_choice import resolve_retention_text
from power_bert.settings import (
    Ranges,
    check_choices,
    check_ranges,
    check_task,
    check_types,
    present_task_name,
    settings_from_json,
    settings_to_json,
    task_of,
)
from power_bert.text.custom_task import CUSTOM, CUSTOM_DEFAULTS, find_labels, is_score_metric
from power_bert.text.glue_tasks import get_task
from power_bert.text.labelled_sets import SAMPLE
from power_bert.text.sources import is_tfds
from power_bert.text.task import Task, TaskDefaults

SAMPLE_FOLDER = GLUE_FOLDER / "sample"

CHOICES: dict[str, tuple[str, ...]] = {
    "gate": ("visibility", "scale"),
    "similarity": ("dot", "cosine", "euclidean", "gaussian"),
    "retention_unit": ("fraction", "tokens"),
    "retention_profile": ("step", "free"),
}


@dataclass(frozen=True)
class Experiment:
    """Everything that decides the outcome of a run; written to the run folder before the first step.

    Attributes:
        task: name of a task of GLUE, emotion, massive, 20newsgroups, or "custom".
        data_dir: folder with train, dev and test files, or "tfds:" and the name of a data set.
        checkpoint_path: pretrained checkpoint, in any form that `read_checkpoint` takes.
        vocab_path: vocabulary, where it does not lie beside the checkpoint.
        bert_config_path: configuration, where it does not lie beside the checkpoint.
        output_dir: the run folder.
        epochs: of phases 1 and 3.
        search_epochs: of phase 2.
        batch_size: examples of a batch.
        lr_bert: peak learning rate of all but the retention parameters.
        lr_soft_extract: peak learning rate of the retention parameters.
        regularization: λ, weight of the regulariser λ · Σ_j j · mass(j).
        speedup: how many times fewer FLOPs the search is to arrive at, in place of a λ; None takes λ.
        max_length: word pieces at most; longer examples are cut.
        seed: of initialisation, order and dropout.
        train_examples: training examples to use, chosen at random once for all seeds; None takes all.
        cased: whether the vocabulary is cased; None asks the checkpoint.
        similarity: attention similarity; where it is not given, the checkpoint's own.
        gate: of soft extraction.
        retention_unit: "fraction" of each example's length, or "tokens".
        retention_profile: of soft extraction: "step", or "free" (the paper).
        retention_jitter: how much re-training shakes significance before words are chosen; 0: not.
        warmup: share of a phase's updates in which the rate rises.
        weight_decay: decoupled, per update and learning rate.
        clip_norm: largest global norm of the gradient.
        dropout: on hidden states and attention; None keeps the checkpoint's.
        retention_config: configuration of phase 3, as `parse_retention` takes it; None searches one (phase 2).
        text_columns: of a custom task: names of one column of texts, or of two for pairs; None for a GLUE task.
        label_column: of a custom task: name of the column of labels or scores; None for a GLUE task.
        labels: of a custom task: its labels in the order of their class indices; None for a regression and for a
            GLUE task.
        metric: of a custom task: what picks the best checkpoint; None for a GLUE task.
    """

    task: str
    data_dir: str
    checkpoint_path: str
    output_dir: str
    epochs: int
    search_epochs: int
    batch_size: int
    lr_bert: float
    lr_soft_extract: float
    regularization: float
    max_length: int
    vocab_path: str | None = None
    bert_config_path: str | None = None
    seed: int = 0
    train_examples: int | None = None
    cased: bool | None = None
    similarity: str = "dot"
    gate: str = "visibility"
    retention_unit: str = "fraction"
    retention_profile: str = "step"
    retention_jitter: float = 0.0
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float | None = None
    speedup: float | None = None
    retention_config: str | None = None
    text_columns: tuple[str, ...] | None = None
    label_column: str | None = None
    labels: tuple[str, ...] | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        check_types(self, _variable)
        check_task(self, _variable)
        check_ranges(self, _RANGES, _variable)
        check_choices(self, CHOICES, _variable)
        if self.speedup is not None and self.retention_config is not None:
            raise UserError(
                "SPEEDUP is a target of the search, and RETENTION_CONFIG leaves the search out; give one of them"
            )

    @property
    def task_definition(self) -> Task:
        """The row of the task table, or the task that the settings of a custom one describe."""
        return task_of(self)

    def to_json(self) -> str:
        return settings_to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Experiment:
        """Read what `to_json` wrote; a UserError names `source` where that is damaged or has unknown keys."""
        return settings_from_json(cls, text, source)


# name of a field → (lowest, highest, how to say it)
_RANGES: Ranges = {
    "epochs": (1, 1000, "a whole number of epochs from 1"),
    "search_epochs": (1, 1000, "a whole number of epochs from 1"),
    "batch_size": (1, 4096, "1 to 4096 examples"),
    "lr_bert": (1e-9, 0.1, "a learning rate from 1e-9 to 0.1 (usual: 2e-5 to 6e-5)"),
    "lr_soft_extract": (1e-9, 1.0, "a learning rate from 1e-9 to 1 (usual: 1e-4 to 3e-3)"),
    "regularization": (0.0, 10.0, "λ from 0 to 10 (usual: 1e-4 to 7e-3)"),
    "speedup": (1.05, 100.0, "1.05 to 100 times fewer FLOPs (usual: 1.5 to 4)"),
    "max_length": (5, 4096, "5 to 4096 word pieces"),
    "seed": (0, 2**31 - 1, "a whole number from 0 to 2147483647"),
    "train_examples": (1, 2**31 - 1, "a number of examples from 1"),
    "warmup": (0.0, 0.99, "a share from 0 to 0.99"),
    "weight_decay": (0.0, 1.0, "0 to 1"),
    "clip_norm": (1e-6, 1e6, "a positive norm"),
    "dropout": (0.0, 0.9, "a rate from 0 to 0.9"),
    "retention_jitter": (0.0, 2.0, "0 to 2 (usual: 0.1 to 0.5)"),
}
# Fields whose variable in run.sh has another name.
_VARIABLES = {
    "regularization": "LAMBDA",
    "epochs": "EPOCH",
    "search_epochs": "SEARCH_EPOCH",
}


def _variable(name: str) -> str:
    return _VARIABLES.get(name, name.upper())


def resolve_experiment(given: Mapping[str, Any]) -> Experiment:
    """The experiment from the values a user gave; None and "" mean not given.

    Raises:
        UserError: an unknown key, a value of the wrong type or out of range; the message lists what is possible.
    """
    types = get_type_hints(Experiment)
    unknown = sorted(set(given) - set(types))
    if unknown:
        raise UserError(f"unknown settings {shorten(', '.join(unknown))}; known are {', '.join(sorted(types))}")
    values = {name: _absolute(name, value) for name, value in given.items() if value not in (None, "", ())}
    if "retention_config" in values:
        values["retention_config"] = resolve_retention_text(values["retention_config"])
    task_defaults = complete_task(values)
    defaults: dict[str, Any] = {
        "checkpoint_path": str(DEFAULT_CHECKPOINT),
        "epochs": 3,
        "batch_size": task_defaults.batch_size,
        "lr_bert": task_defaults.learning_rate,
        "lr_soft_extract": task_defaults.soft_extract_learning_rate,
        "regularization": task_defaults.regularization,
        "max_length": task_defaults.max_length,
    }
    values = {**defaults, **values}
    values.setdefault("similarity", stored_similarity(values["checkpoint_path"]))
    values.setdefault("search_epochs", values["epochs"])
    values.setdefault("output_dir", str(default_output_dir(values)))
    return Experiment(**values)


def complete_task(values: dict[str, Any]) -> TaskDefaults:
    """Fills in what the task and its data leave open; returns the task's defaults."""
    # `bash run.sh download` puts the official data into GLUE_FOLDER; the sample is the default of `bash run.sh` alone.
    if values.setdefault("task", "cola") == "cola" and "data_dir" not in values:
        values["task"] = SAMPLE
    values["task"] = present_task_name(values)
    name = values["task"]
    if name == CUSTOM:
        _complete_custom_task(values)
        return CUSTOM_DEFAULTS
    task = get_task(name)
    values.setdefault("data_dir", str((SAMPLE_FOLDER if name == SAMPLE else GLUE_FOLDER) / task.folder))
    return task.defaults


def _complete_custom_task(values: dict[str, Any]) -> None:
    if "data_dir" not in values:
        raise UserError(f"DATA_DIR is empty: TASK={CUSTOM} needs the folder that holds its train and dev files")
    for setting in ("text_columns", "labels"):
        if isinstance(values.get(setting), str):
            values[setting] = tuple(part.strip() for part in values[setting].split(","))
    values.setdefault("text_columns", ("sentence",))
    values.setdefault("label_column", "label")
    values.setdefault("metric", "accuracy")
    if "labels" not in values and not is_score_metric(values["metric"]):
        values["labels"] = find_labels(values["data_dir"], values["text_columns"], values["label_column"])


def _absolute(name: str, value: Any) -> Any:
    """A path that means the same from another working folder; anything else, a preset's name among them, as it is."""
    if name == "checkpoint_path":
        is_path = Path(value).exists() or Path(f"{value}.index").exists()
    elif name == "data_dir":
        is_path = not is_tfds(value)
    else:
        is_path = name in ("output_dir", "vocab_path", "bert_config_path")
    return os.path.abspath(value) if is_path else value


# Of Google's checkpoints, and of this project's: the folder around them has the telling name.
_NAMES_OF_ANY_CHECKPOINT = ("bert_model.ckpt", "model")


def default_output_dir(values: Mapping[str, Any]) -> Path:
    """``checkpoints/runs/<task>/<data>-<checkpoint>``."""
    if is_tfds(values["data_dir"]):
        data = values["data_dir"].translate(str.maketrans(":/", "--"))
    else:
        folder = Path(values["data_dir"]).resolve()
        data = f"{folder.parent.name}-{folder.name}"
    return RUNS_FOLDER / values["task"] / f"{data}-{checkpoint_name(values['checkpoint_path'])}"


def checkpoint_name(checkpoint_path: str) -> str:
    """The last part of a checkpoint's path that tells something."""
    *folders, name = str(checkpoint_path).rstrip("/").split("/")
    return folders[-1] if name in _NAMES_OF_ANY_CHECKPOINT and folders else name
