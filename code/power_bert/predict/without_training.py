"""EVAL_ONLY and PREDICT_ONLY of run.sh: evaluation and prediction with a trained model."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT
from power_bert.predict.evaluation import evaluate, lines_against_full
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.predicting_test_sets import write_test_predictions
from power_bert.result_tables import wrap_value
from power_bert.runs.run_dir import RunDir
from power_bert.runs.trained_model import TrainedModel, load_trained_model, task_and_data
from power_bert.storage.locks import writes
from power_bert.text.labeled_sets import SAMPLE
from power_bert.text.task_family import predictable_test_sets


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
        experiment: Settings of run.sh, which name the model; see `load_named_model`.
        data_dir: DATA_DIR as the user gave it.
        output_dir: OUTPUT_DIR as the user gave it.
        retention_choice: RETENTION_CONFIG as the user gave it.
        evaluates: Whether to score the model on dev (EVAL_ONLY).
        predicts: Whether to predict the test sets (PREDICT_ONLY).
        max_length: MAX_LENGTH as the user gave it.

    Raises:
        UserError: There is no such model, or its data are missing or damaged.
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
    """Load the model of the run in OUTPUT_DIR, or else that of CHECKPOINT_PATH.

    Args:
        experiment: Settings of run.sh.
        data_dir: DATA_DIR as the user gave it; None takes the data of the run.
        retention_choice: RETENTION_CONFIG as the user gave it.
        max_length: MAX_LENGTH as the user gave it; None takes the length that the model was trained with.

    Raises:
        UserError: There is neither a run nor a checkpoint with a head.
    """
    task = experiment.task_definition
    if RunDir(Path(experiment.output_dir)).holds_run:
        # TASK=cola is the default of run.sh. Without a DATA_DIR it does not mean that the user asked for CoLA.
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
    """Raise a UserError for options that do not apply to a checkpoint with a head."""
    given = {
        "VOCAB_PATH": experiment.vocab_path,
        "BERT_CONFIG_PATH": experiment.bert_config_path,
        "CASED": experiment.cased,
    }
    if names := ", ".join(name for name, value in given.items() if value is not None):
        raise UserError(
            f"{names}: EVAL_ONLY and PREDICT_ONLY need a checkpoint with a head, which brings its own vocabulary and "
            "configuration; leave this empty"
        )


def predictions_folder(experiment: Experiment, output_dir: str | None) -> Path:
    """Return the folder that PREDICT_ONLY writes to: in the run, or in the OUTPUT_DIR that the user gave.

    Raises:
        UserError: The model is that of a checkpoint, and no OUTPUT_DIR was given.
    """
    if not output_dir and not RunDir(Path(experiment.output_dir)).holds_run:
        raise UserError("PREDICT_ONLY=1 with a CHECKPOINT_PATH: give an OUTPUT_DIR for the predictions as well")
    return Path(experiment.output_dir) / "predictions"


@writes(lambda model, folder, *_, **__: folder.parent)
def predict_tests(model: TrainedModel, folder: Path, console: Console) -> None:
    """Write the GLUE files of the test sets that the model can predict, under the names of a submission."""
    task, data_dir = task_and_data(model)
    predictor = Predictor(model.classifier, model.max_length)
    console.print("\n".join(wrap_value("retention  ", model.retention)), markup=False)
    # If there is no test set at all, reading the task's own one raises the error that names the missing file.
    for predicted, its_data_dir in predictable_test_sets(task, data_dir) or [(task, data_dir)]:
        path = folder / predicted.prediction_file
        write_test_predictions(path, predictor, predicted, its_data_dir, Console(stderr=True))
        console.print(f"wrote {path}", markup=False)
