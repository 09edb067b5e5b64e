"""Scores of a trained model on a labeled split, computed from a predictions file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from power_bert.config.validation import TrainingSettings
from power_bert.errors import UserError
from power_bert.model.classifier_building import build_without_elimination
from power_bert.predict.metrics import compute_scores, format_scores
from power_bert.predict.paired_difference import format_change, paired_interval
from power_bert.predict.prediction_output import open_output
from power_bert.predict.rows_progress import rows_progress
from power_bert.predict.score_warnings import warn_of_constant
from power_bert.predict.usable_model import UsableModel
from power_bert.result_tables import wrap_value
from power_bert.runs.run_dir import PhaseDir
from power_bert.runs.trained_model import TrainedModel, task_and_data
from power_bert.text.examples import Examples, has_split, stream_examples
from power_bert.text.predictions import prediction_lines, read_predictions
from power_bert.text.task import Split, Task


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a split, with the labels and predictions that they are computed from.

    Attributes:
        model: The evaluated model, as it was given.
        task: The task of the data.
        split: The split of the data.
        num_examples: Number of examples.
        scores: Metric name to score, as a fraction.
        report: Scikit-learn's classification report; None for a regression task.
        labels: Class indices or scores, (examples,).
        predictions: Predicted class indices or scores, (examples,).
    """

    model: TrainedModel | UsableModel
    task: Task
    split: Split
    num_examples: int
    scores: dict[str, float]
    report: str | None
    labels: np.ndarray
    predictions: np.ndarray

    def lines(self) -> list[str]:
        return [
            f"model      {self.model.source}",
            f"data       {self.task.name} {self.split}, {self.num_examples} examples from {self.model.data_dir}",
            *wrap_value("retention  ", self.model.retention),
            *wrap_value("scores     ", format_scores(self.scores)),
            *(
                line
                for text in warn_of_constant(self.task, self.labels, self.scores)
                for line in wrap_value("warning    ", text)
            ),
        ]


def evaluate(
    model: TrainedModel | UsableModel, split: Split, console: Console, output: Path | None = None
) -> Evaluation:
    """Predict a split into a file and score the file.

    Args:
        model: Model to evaluate.
        split: A labeled split: "train" or "dev", or "test" of a task whose test data have labels.
        console: Console that shows progress.
        output: File for the predictions; None keeps none.

    Raises:
        UserError: The split has no labels, or the data are missing or damaged.
    """
    task, data_dir = task_and_data(model)
    predictor = UsableModel.of(model).predictor
    labels: list[np.ndarray] = []

    def labeled() -> Iterator[Examples]:
        for examples in stream_examples(task, split, data_dir):
            if examples.labels is None:
                raise UserError(
                    f"the {split} data of {task.name} have no labels, so there is nothing to score; evaluate on dev, "
                    f"or predict with `bash run.sh predict … --split {split}`"
                )
            labels.append(examples.labels)
            yield examples

    with tempfile.TemporaryDirectory() as folder:
        path = output or Path(folder) / f"predictions_{split}.tsv"
        with rows_progress(console, f"predicting {task.name} {split}") as advance, open_output(path) as file:
            file.writelines(prediction_lines(path, task, predictor.predictions(task, labeled(), advance)))
        predictions = read_predictions(path, task)
    known = np.concatenate(labels)
    scores = compute_scores(task.metrics, known, predictions)
    return Evaluation(model, task, split, len(known), scores, _report(task, known, predictions), known, predictions)


def lines_against_full(evaluation: Evaluation, console: Console) -> list[str]:
    """Score the same weights without elimination and describe the change; empty if the model eliminates nothing."""
    model = evaluation.model
    if isinstance(model, UsableModel) or model.classifier.backbone.extraction != "hard":
        return []
    full = evaluate(replace(model, classifier=build_without_elimination(model.classifier)), evaluation.split, console)
    lines = [f"same weights, nothing eliminated  {format_scores(full.scores)}"]
    for metric, score in evaluation.scores.items():
        interval = paired_interval(metric, evaluation.labels, full.predictions, evaluation.predictions)
        lines.append(f"elimination changes {metric} by {format_change(full.scores[metric], score, interval)}")
    return lines


def _report(task: Task, labels: np.ndarray, predictions: np.ndarray) -> str | None:
    from sklearn.metrics import classification_report

    if task.labels is None:
        return None
    classes = range(len(task.labels))
    return str(
        classification_report(
            labels, predictions, labels=classes, target_names=task.class_names, digits=4, zero_division=0.0
        )
    )


def score_test_predictions(settings: TrainingSettings, phase_dir: PhaseDir) -> dict[str, float] | None:
    """Score the test predictions of a phase; None if it wrote none or the test set has no labels.

    Raises:
        UserError: The predictions or the test data are damaged.
    """
    task, path = settings.task_definition, phase_dir.predictions("test")
    if not path.exists() or not has_split(task, "test", settings.data_dir):
        return None
    labels = [examples.labels for examples in stream_examples(task, "test", settings.data_dir)]
    known = [values for values in labels if values is not None]
    if len(known) < len(labels):
        return None
    return compute_scores(task.metrics, np.concatenate(known), read_predictions(path, task))
