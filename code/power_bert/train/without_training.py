"""EVAL_ONLY and PREDICT_ONLY of run.sh: what a run's settings mean where nothing is to be trained."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT
from power_bert.locks import writes
from power_bert.run_dir import RunDir
from power_bert.text.labelled_sets import SAMPLE
from power_bert.text.task_family import predictable_test_sets
from power_bert.train.evaluation import evaluate, lines_against_full
from power_bert.train.predict import Predictor
from power_bert.train.predicting_test_sets import write_test_predictions
from power_bert.train.trained_model import TrainedModel, load_trained_model, task_and_data


def use_trained(
    experiment: Experiment,
    data_dir: str | None,
    output_dir: str | None,
    retention_choice: str | None,
    evaluates: bool,
    predicts: bool,
    max_length: int | None = None,
) -> None:
    """Score the model on dev, predict its test sets, or both.

    Args:
        experiment: the settings of run.sh; names the model, see `load_named_model`.
        data_dir: DATA_DIR as it was given.
        output_dir: OUTPUT_DIR as it was given.
        retention_choice: RETENTION_CONFIG as it was given.
        evaluates: EVAL_ONLY.
        predicts: PREDICT_ONLY.
        max_length: MAX_LENGTH as it was given.

    Raises:
        UserError: there is no such model, or its data are missing or damaged.
    """
    folder = predictions_folder(experiment, output_dir) if predicts else None
    model = load_named_model(experiment, data_dir, retention_choice, max_length)
    console = Console(highlight=False, soft_wrap=True)
    if evaluates:
        progress = Console(stderr=True)
        evaluation = evaluate(model, "dev", progress)
        for line in [*evaluation.lines(), *lines_against_full(evaluation, progress)]:
            console.print(line, markup=False)
    if folder is not None:
        predict_tests(model, folder, console)


def load_named_model(
    experiment: Experiment, data_dir: str | None, retention_choice: str | None, max_length: int | None = None
) -> TrainedModel:
    """The model of the run in OUTPUT_DIR, or else that of CHECKPOINT_PATH.

    Args:
        experiment: the settings of run.sh.
        data_dir: DATA_DIR as it was given; without it, the data are those of the run.
        retention_choice: RETENTION_CONFIG as it was given.
        max_length: MAX_LENGTH as it was given; without it, what the model was trained with.

    Raises:
        UserError: there is neither a run nor a checkpoint with a head.
    """
    task = experiment.task_definition
    if RunDir(Path(experiment.output_dir)).holds_run:
        # TASK=cola is the default of run.sh: with no DATA_DIR beside it, nobody has asked for a task.
        asked = None if experiment.task == SAMPLE and not data_dir else task
        return load_trained_model(experiment.output_dir, asked, data_dir, retention_choice, max_length=max_length)
    if Path(experiment.checkpoint_path) == DEFAULT_CHECKPOINT:
        raise UserError(
            f"OUTPUT_DIR={experiment.output_dir} holds no run, and CHECKPOINT_PATH names no trained classifier; give "
            "the OUTPUT_DIR of a run, or a checkpoint with a head such as RUN/3_retrain/model"
        )
    _refuse_reading_options(experiment)
    return load_trained_model(
        experiment.checkpoint_path, task, experiment.data_dir, retention_choice, max_length=max_length
    )


def _refuse_reading_options(experiment: Experiment) -> None:
    """A checkpoint with a head is read as it is."""
    given = {
        "VOCAB_PATH": experiment.vocab_path,
        "BERT_CONFIG_PATH": experiment.bert_config_path,
        "CASED": experiment.cased,
    }
    if names := ", ".join(name for name, value in given.items() if value is not None):
        raise UserError(
            f"{names}: a checkpoint with a head, as EVAL_ONLY and PREDICT_ONLY want one, has its own vocabulary and "
            "configuration beside it; leave this empty"
        )


def predictions_folder(experiment: Experiment, output_dir: str | None) -> Path:
    """Where PREDICT_ONLY writes: into the run, or into the OUTPUT_DIR that was given.

    Raises:
        UserError: the model is that of a checkpoint, and no OUTPUT_DIR was given.
    """
    if not output_dir and not RunDir(Path(experiment.output_dir)).holds_run:
        raise UserError("PREDICT_ONLY=1 with a CHECKPOINT_PATH: give an OUTPUT_DIR for the predictions as well")
    return Path(experiment.output_dir) / "predictions"


@writes(lambda model, folder, *_, **__: folder.parent)
def predict_tests(model: TrainedModel, folder: Path, console: Console) -> None:
    """Write the GLUE files of the test sets that the model can predict, under the names of a submission."""
    task, data_dir = task_and_data(model)
    predictor = Predictor(model.classifier, model.max_length)
    console.print(f"retention  {model.retention}", markup=False)
    # Where there is no test set at all, reading the task's own says what is missing.
    for predicted, its_data_dir in predictable_test_sets(task, data_dir) or [(task, data_dir)]:
        path = folder / predicted.prediction_file
        write_test_predictions(path, predictor, predicted, its_data_dir, Console(stderr=True))
        console.print(f"wrote {path}", markup=False)
