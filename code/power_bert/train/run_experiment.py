"""The main job: from an experiment to a finished run directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from power_bert.config.experiment import SAMPLE_FOLDER, Experiment
from power_bert.config.validation import TrainingSettings
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT
from power_bert.model.checkpoints.download import fetch_minilm
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.pretrained import Pretrained, check_max_length, load_pretrained
from power_bert.predict.predicting_test_sets import write_missing_predictions
from power_bert.runs.run_dir import PHASES, RunDir, write_run_json
from power_bert.runs.run_folder import check_run_dir, folder_setting, set_run_aside
from power_bert.storage.files import atomic_write_text
from power_bert.storage.locks import one_writer, writes
from power_bert.text.examples import (
    count_examples,
    data_fingerprint,
    has_split,
    read_examples,
    read_training_examples,
)
from power_bert.text.glue_tasks import TASKS
from power_bert.text.labeled_sets import SAMPLE
from power_bert.text.sample.sample_sentences import write_sample
from power_bert.text.task_family import predictable_test_sets
from power_bert.train.data_report import describe_data
from power_bert.train.machine import describe_machine, make_deterministic
from power_bert.train.phases import check_blocks, fine_tune, retrain, search, train_baseline
from power_bert.train.reporting import Reporter
from power_bert.train.training import EncodedExamples, RunContext

# Tokenizing more examples than this takes seconds, so a message is printed.
_MANY_EXAMPLES = 50_000


@writes(lambda experiment, *_, **__: experiment.output_dir)
def run_experiment(
    experiment: Experiment,
    resume: bool = True,
    console: Console | None = None,
    predict_test: bool = True,
    only_fine_tune: bool = False,
    baseline: bool = False,
) -> RunDir:
    """Run fine-tuning, search and re-training; phases that an interrupted run finished are kept.

    With a given retention configuration there is no search, and re-training starts from the fine-tuned weights.

    Args:
        experiment: Settings of the run.
        resume: False sets an earlier run in the same folder aside and starts anew.
        console: Console for output; the terminal by default.
        predict_test: Whether phases 1 and 3 end with predictions of the test data, as GLUE files.
        only_fine_tune: Stop after phase 1.
        baseline: After phase 3, continue fine-tuning from phase 1 for as many epochs as phases 2 and 3 took.

    Raises:
        UserError: Bad input; nothing finished is lost.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    run_dir = check_run_dir(experiment, resume)
    prepare_sample(experiment, console)
    task = experiment.task_definition
    examples = {
        "train": read_training_examples(task, experiment.data_dir, experiment.train_examples),
        "dev": read_examples(task, "dev", experiment.data_dir),
    }
    test_rows = check_test_data(experiment) if predict_test else 0
    prepare_checkpoint(experiment.checkpoint_path, console)
    keras.utils.set_random_seed(experiment.seed)
    make_deterministic()
    pretrained = cache(partial(_load_pretrained, experiment))
    first_phase = run_dir.phase(PHASES[0])
    if resume and first_phase.is_done:
        tokenizer = PowerBertTokenizer.from_preset(str(first_phase.existing_model())).word_pieces
    else:
        tokenizer = pretrained().tokenizer.word_pieces
        check_max_length(experiment.max_length, pretrained().backbone)
        check_given_retention(experiment, pretrained().backbone.num_layers)
        if not only_fine_tune:
            check_blocks(experiment, pretrained().backbone.num_layers)
    if len(examples["train"]) > _MANY_EXAMPLES:
        console.print(f"tokenizing {len(examples['train']):,} training examples", markup=False)
    splits = {name: EncodedExamples.of(part, tokenizer, experiment.max_length) for name, part in examples.items()}
    # Nothing is written before all input has been read and checked.
    if not resume:
        set_run_aside(run_dir)
    write_run_description(experiment, run_dir)

    with Reporter(run_dir.log, run_dir.tensorboard, console) as reporter:
        reporter.say(f"run folder {run_dir.path}")
        reporter.log(f"experiment {experiment.to_json()}")
        context = RunContext(experiment, run_dir, reporter, **splits)
        lengths = context.train.encoded.lengths
        reporter.say(
            f"{task.name}: {len(lengths)} training, {len(context.dev.encoded)} dev and {test_rows} test examples, "
            f"{lengths.mean():.1f} tokens on average, {lengths.max()} at most"
        )
        for line in describe_data(experiment, examples["train"], examples["dev"]):
            reporter.say(line)
        run_phases(context, pretrained, predict_test, only_fine_tune, baseline)
    return run_dir


def _load_pretrained(experiment: Experiment) -> Pretrained:
    """Load the pretrained encoder with the similarity and dropout rate of an experiment."""
    changes: dict[str, Any] = {"similarity": experiment.similarity}
    if experiment.dropout is not None:
        changes.update(dropout=experiment.dropout, attention_dropout=experiment.dropout)
    return load_pretrained(
        experiment.checkpoint_path, experiment.bert_config_path, experiment.vocab_path, experiment.cased, **changes
    )


def run_phases(
    context: RunContext[Experiment],
    pretrained: Callable[[], Pretrained],
    predict_test: bool,
    only_fine_tune: bool,
    baseline: bool,
) -> None:
    """Run all phases of the experiment, or only the first, each from the result of the previous one."""
    experiment, console = context.experiment, context.reporter.console
    fine_tuned = result = fine_tune(context, pretrained)
    if predict_test:
        write_missing_predictions(experiment, result.phase_dir, console)
    if only_fine_tune:
        return
    if experiment.max_loss is not None:
        train_baseline(context, fine_tuned)  # the search compares with it
    if experiment.retention_config is None:
        result = search(context, result)
    result = retrain(context, result)
    if predict_test:
        write_missing_predictions(experiment, result.phase_dir, console)
    if baseline and experiment.max_loss is None:
        train_baseline(context, fine_tuned)


def check_test_data(experiment: TrainingSettings) -> int:
    """Read and check all test data that the run will predict, in constant memory.

    Returns:
        Number of test examples of the experiment's own task; 0 if a custom task has none.
    """
    task, rows = experiment.task_definition, 0
    if task.name in TASKS or has_split(task, "test", experiment.data_dir):
        rows = count_examples(task, "test", experiment.data_dir)
    for other, data_dir in predictable_test_sets(task, experiment.data_dir):
        if other.name != task.name:
            count_examples(other, "test", data_dir)
    return rows


def check_given_retention(experiment: Experiment, num_layers: int) -> None:
    """Raise a UserError if RETENTION_CONFIG does not fit the model."""
    if experiment.retention_config is not None:
        Retention.parse(experiment.retention_config).checked(num_layers, experiment.max_length)


def prepare_sample(experiment: TrainingSettings, console: Console) -> None:
    """Generate the sample data set if the experiment uses it and it is missing."""
    sample = Path(experiment.data_dir)
    if experiment.task == SAMPLE and sample.parent.resolve() == SAMPLE_FOLDER.resolve() and not sample.exists():
        existing = next(folder for folder in sample.parents if folder.exists())
        if not os.access(existing, os.W_OK):
            raise UserError(f"{existing} is not writable: set DATA_DIR and OUTPUT_DIR to folders of your own")
        with one_writer(sample, wait=True):
            if not sample.exists():
                console.print(f"generating the sample data set in {sample}", markup=False)
                write_sample(sample)


def prepare_checkpoint(checkpoint_path: str, console: Console) -> None:
    """Fetch the default checkpoint if the experiment uses it and it is missing."""
    is_default = Path(checkpoint_path).resolve() == DEFAULT_CHECKPOINT.resolve()
    if is_default and not DEFAULT_CHECKPOINT.exists():
        console.print(f"fetching the pretrained encoder all-MiniLM-L6-v2 into {DEFAULT_CHECKPOINT}", markup=False)
        fetch_minilm(DEFAULT_CHECKPOINT)


def write_run_description(experiment: TrainingSettings, run_dir: RunDir) -> None:
    """Write ``config.json`` and ``environment.json``."""
    try:
        run_dir.path.mkdir(parents=True, exist_ok=True)
        # config.json comes first: a folder without it is not treated as a run directory.
        atomic_write_text(run_dir.config, experiment.to_json())
        write_run_json(run_dir.environment, describe_environment(experiment))
    except OSError as error:
        raise UserError(
            f"{folder_setting(experiment)} cannot be written ({error.strerror}); choose another folder"
        ) from None


def describe_environment(experiment: TrainingSettings) -> dict[str, Any]:
    """Return versions, machine, backend and data, as needed to reproduce the figures."""
    return {
        **describe_machine(),
        "seed": experiment.seed,
        "data_sha256": data_fingerprint(experiment.task_definition, experiment.data_dir),
    }
