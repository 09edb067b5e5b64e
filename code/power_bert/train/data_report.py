"""What a run says of its data before it trains: columns, split, labels, and what is too little or too alike."""

from __future__ import annotations

import math
from collections.abc import Iterator

from power_bert.config.experiment import Experiment
from power_bert.errors import shorten
from power_bert.runs.run_dir import PHASES
from power_bert.runs.run_folder import phases_of
from power_bert.text.custom_task import CUSTOM
from power_bert.text.examples import Examples
from power_bert.text.label_counts import describe_labels
from power_bert.text.shared_texts import warn_of_shared_texts
from power_bert.text.sources import open_source
from power_bert.text.table_source import TableSource, describe_columns, describe_table
from power_bert.text.task import Task

# Below these, a fine-tuned BERT is hardly better than chance, and a dev score says little.
_FEW_STEPS = 100
_FEW_DEV_EXAMPLES = 50
# A retention parameter goes from 1 to 0. With warm-up and decay the learning rate is half of its peak on average.
_LITTLE_WAY = 0.3


def describe_data(experiment: Experiment, train: Examples, dev: Examples) -> Iterator[str]:
    """Yield lines for the user about the data of a run.

    Args:
        experiment: Settings of the run.
        train: Training data.
        dev: Dev data.
    """
    task, source = experiment.task_definition, open_source(experiment.data_dir)
    if isinstance(source, TableSource):
        yield from describe_table(source, task)
    elif task.name == CUSTOM:
        yield describe_columns(task)
        yield from warn_of_shared_texts(task, experiment.data_dir, train)
    if task.name == CUSTOM:
        yield from _warn_of_missing_header(task, train)
    yield from describe_labels(task.class_names, train, dev)
    yield from _warn_of_too_little(experiment, len(train), len(dev))


def _warn_of_missing_header(task: Task, train: Examples) -> Iterator[str]:
    """Yield a warning if a column has the name of one of its values: its first row was then read as the header."""
    layout = task.train_layout
    columns = [*zip(layout.text_columns, (train.first, train.second or ()), strict=False)]
    for name, values in [*columns, (layout.label_column, task.labels or ())]:
        if name in values:
            yield (
                f"warning: {shorten(repr(name), 60)} is the name of a column and a value in it: if the data have no "
                "header, add a first line with the names of the columns"
            )


def _warn_of_too_little(experiment: Experiment, train: int, dev: int) -> Iterator[str]:
    steps = math.ceil(train / experiment.batch_size)
    if steps * experiment.epochs < _FEW_STEPS:
        yield (
            f"warning: fine-tuning has {steps * experiment.epochs} training steps, and a BERT needs some hundreds: add "
            f"rows, or set EPOCH above {experiment.epochs} or BATCH_SIZE below {experiment.batch_size}"
        )
    way = steps * experiment.search_epochs * experiment.lr_soft_extract / 2
    if PHASES[1] in phases_of(experiment) and not experiment.has_target and way < _LITTLE_WAY:
        yield (
            f"warning: the search has {steps * experiment.search_epochs} training steps, in which a retention "
            f"parameter can fall from 1 to {1 - way:.2f}, so hardly a token will be eliminated: set SPEEDUP, whose "
            "search has no such limit, or raise LR_SOFT_EXTRACT or SEARCH_EPOCH"
        )
    if dev < _FEW_DEV_EXAMPLES:
        yield f"warning: {dev} dev examples: each is {100 / dev:.1f} points of a dev score, which so says little"
