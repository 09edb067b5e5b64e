"""Scores of a trained model on a labelled split, computed from a predictions file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from power_bert.errors import UserError
from power_bert.model.pretrained import without_elimination
from power_bert.run_dir import PhaseDir
from power_bert.settings import TrainingSettings
from power_bert.text.examples import Examples, has_split, stream_examples
from power_bert.text.predictions import prediction_lines, read_predictions
from power_bert.text.task import Split, Task
from power_bert.train.cautions import caution_constant
from power_bert.train.metrics import compute_scores, format_scores
from power_bert.train.paired_difference import format_change, paired_interval
from power_bert.train.predict import Predictor
from power_bert.train.prediction_output import open_output
from power_bert.train.rows_progress import rows_progress
from power_bert.train.trained_model import TrainedModel, task_and_data


@dataclass(frozen=True)
class Evaluation:
    """What a model scores on a split, with all that a reader needs to know about it.

    `report` is scikit-learn's classification report, class by class; None for a regression. `labels` and `predictions`
    are of the examples, (examples,).
    """

    model: TrainedModel
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
            f"retention  {self.model.retention}",
            f"scores     {format_scores(self.scores)}",
            *(f"warning    {text}" for text in caution_constant(self.task, self.labels, self.scores)),
        ]


def evaluate(model: TrainedModel, split: Split, console: Console, output: Path | None = None) -> Evaluation:
    """Predict a split into a file and score the file.

    Args:
        model: what predicts.
        split: with labels: "train" or "dev", or "test" of a task whose test data have labels.
        console: for the progress.
        output: where to leave the predictions; None leaves none.

    Raises:
        UserError: the split has no labels, or the data are missing or damaged.
    """
    task, data_dir = task_and_data(model)
    labels: list[np.ndarray] = []

    def labelled() -> Iterator[Examples]:
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
        predictor = Predictor(model.classifier, model.max_length)
        with rows_progress(console, f"predicting {task.name} {split}") as advance, open_output(path) as file:
            file.writelines(prediction_lines(path, task, predictor.predictions(task, labelled(), advance)))
        predictions = read_predictions(path, task)
    known = np.concatenate(labels)
    scores = compute_scores(task.metrics, known, predictions)
    return Evaluation(model, task, split, len(known), scores, _report(task, known, predictions), known, predictions)


def lines_against_full(evaluation: Evaluation, console: Console) -> list[str]:
    """Score the same weights with nothing eliminated, where the model eliminates, and say what elimination changes."""
    model = evaluation.model
    if model.classifier.backbone.extraction != "hard":
        return []
    full = evaluate(replace(model, classifier=without_elimination(model.classifier)), evaluation.split, console)
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
            labels, predictions, labels=classes, target_names=task.labels, digits=4, zero_division=0.0
        )
    )


def score_test_predictions(settings: TrainingSettings, phase_dir: PhaseDir) -> dict[str, float] | None:
    """Scores of the test predictions that a phase has written; None where it has none, or the test set no labels.

    Raises:
        UserError: the predictions or the test data are damaged.
    """
    task, path = settings.task_definition, phase_dir.predictions("test")
    if not path.exists() or not has_split(task, "test", settings.data_dir):
        return None
    labels = [examples.labels for examples in stream_examples(task, "test", settings.data_dir)]
    known = [values for values in labels if values is not None]
    if len(known) < len(labels):
        return None
    return compute_scores(task.metrics, np.concatenate(known), read_predictions(path, task))
