"""Declarations of settings that several classes have."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from power_bert.config.settings import LARGEST, Setting
from power_bert.text.custom_task import CUSTOM, METRICS
from power_bert.text.glue_tasks import TASKS
from power_bert.text.labeled_sets import LABELED_TASKS

TASK_NAMES = ", ".join(name for name, task in TASKS.items() if task.can_train)
LABELED_NAMES = ", ".join(LABELED_TASKS)
Similarity = Literal["dot", "cosine", "euclidean", "gaussian"]
DEFAULT_TASK = "cola"
DEFAULT_METRIC = "accuracy"
_ONLY_CUSTOM = f"for TASK={CUSTOM}"

TaskName = Annotated[
    str,
    Setting(
        f"Task: {TASK_NAMES}; {LABELED_NAMES}; or {CUSTOM} for your own data",
        default=DEFAULT_TASK,
        in_card=False,
    ),
]
DataDir = Annotated[
    str,
    Setting(
        "Folder with train, dev and test files; one .csv, .tsv or .jsonl file of your own, which is split; or "
        "tfds:NAME for a data set of TensorFlow Datasets",
        default_text="for cola the generated sample, for other tasks the folder of `download`",
        in_card=False,
    ),
]
Seed = Annotated[
    int,
    Setting(
        "Random seed for initialization, data order, dropout and, in distillation, augmentation",
        low=0,
        high=LARGEST,
        expected="a whole number from {low} to {high}",
    ),
]
TrainExamples = Annotated[
    int | None,
    Setting(
        "Number of training examples to use, selected at random and independently of the seed",
        "examples",
        low=1,
        high=LARGEST,
        expected="a whole number of training examples from {low}",
        default_text="all",
    ),
]
Warmup = Annotated[
    float, Setting("Fraction of the training steps in which the learning rate rises", low=0.0, high=0.99,
                   expected="a fraction from {low} to {high}")
]  # fmt: skip
WeightDecay = Annotated[float, Setting("Decoupled weight decay", low=0.0, high=1.0)]
CLIP_NORM = Setting("Largest global norm of the gradient", low=1e-6, high=1e6, expected="a positive norm")
# Runs have no option for it.
ClipNorm = Annotated[float, replace(CLIP_NORM, has_option=False)]
# Settings of TASK=custom only.
TextColumns = Annotated[
    tuple[str, ...] | None,
    Setting(
        f"Column of the texts, or two columns of text pairs, separated by a comma, {_ONLY_CUSTOM}",
        default_text="guessed from names and values",
    ),
]
LabelColumn = Annotated[
    str | None,
    Setting(f"Column of the labels or scores, {_ONLY_CUSTOM}", default_text="guessed from names and values"),
]
Labels = Annotated[
    tuple[str, ...] | None,
    Setting(
        f"Labels, separated by commas, {_ONLY_CUSTOM}", default_text="those of the training data, sorted", in_card=False
    ),
]
Metric = Annotated[
    str | None,
    Setting(
        f"Metric that selects the best epoch: {', '.join(METRICS)}, {_ONLY_CUSTOM}",
        default=DEFAULT_METRIC,
        default_of=CUSTOM,
    ),
]
