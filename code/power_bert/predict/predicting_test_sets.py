"""Test predictions of a phase, as GLUE files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from power_bert.config.validation import TrainingSettings
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.rows_progress import rows_progress
from power_bert.runs.run_dir import PhaseDir
from power_bert.runs.run_folder import missing_predictions
from power_bert.text.examples import stream_examples
from power_bert.text.predictions import write_prediction_chunks
from power_bert.text.task import Task


def write_missing_predictions(experiment: TrainingSettings, phase_dir: PhaseDir, console: Console) -> None:
    """Predict the test sets for which a finished phase has no file yet; the model is loaded only if needed."""
    missing = missing_predictions(experiment, phase_dir)
    if not missing:
        return
    classifier = load_own_classifier(phase_dir.existing_model())
    predictor = Predictor(classifier, experiment.max_length)
    for path, (task, data_dir) in missing.items():
        write_test_predictions(path, predictor, task, data_dir, console)


def write_test_predictions(path: Path, predictor: Predictor, task: Task, data_dir: str, console: Console) -> None:
    """Predict a test set into a GLUE file, in row order and in constant memory."""
    with rows_progress(console, f"predicting the test set of {task.name}") as advance:
        chunks = stream_examples(task, "test", data_dir)
        write_prediction_chunks(path, task, predictor.predictions(task, chunks, advance))
