"""Baselines of the linear students: linear models on TF-IDF features, without a teacher, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.errors import UserError
from power_bert.experiments.gains import BASELINES_CSV, LEAST_SQUARES, LOGISTIC
from power_bert.predict.metrics import compute_scores, format_scores, metrics_to_compare
from power_bert.result_tables import csv_text, to_frame
from power_bert.storage.files import atomic_write_text
from power_bert.text.examples import Examples, read_examples, read_training_examples
from power_bert.text.task import Split, Task


def score_linear_baselines(
    task: Task, data_dir: str, split: Split, train_examples: int | None = None
) -> dict[str, Mapping[str, float]]:
    """Train the baselines and score them on a split.

    The features are lowercased words, weighted by 1 + ln(count) and inverse document frequency, as in the linear
    student, which has WordPiece tokens instead. Least squares regresses on one-hot labels and predicts the largest.

    Args:
        task: Task with classes.
        data_dir: Folder of its data.
        split: Split to score.
        train_examples: Number of training examples; None takes all.

    Returns:
        Name of each baseline → metric → score, a fraction.

    Raises:
        UserError: The task has no classes, or the split no labels.
    """
    if task.labels is None:
        raise UserError(f"{task.name} has scores, not classes: there is no linear classifier to compare with")
    train, scored = read_training_examples(task, data_dir, train_examples), read_examples(task, split, data_dir)
    if train.labels is None or scored.labels is None:
        raise UserError(f"the {split} data of {task.name} have no labels; give --split dev")
    predictions = predict_with_baselines(train, train.labels, scored)
    return {
        name: compute_scores(metrics_to_compare(task), scored.labels, classes) for name, classes in predictions.items()
    }


def predict_with_baselines(train: Examples, labels: np.ndarray, scored: Examples) -> dict[str, np.ndarray]:
    """Return name of each baseline → predicted classes of the scored examples, int64 (examples,)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LinearRegression, LogisticRegression

    vectorizer = TfidfVectorizer(sublinear_tf=True)
    features, to_score = vectorizer.fit_transform(_texts(train)), vectorizer.transform(_texts(scored))
    classes = np.unique(labels)
    one_hot = (labels[:, None] == classes).astype(np.float64)
    least_squares: Any = LinearRegression().fit(features, one_hot)
    logistic = LogisticRegression(max_iter=1000).fit(features, labels)
    return {
        LEAST_SQUARES: classes[least_squares.predict(to_score).argmax(axis=1)],
        LOGISTIC: logistic.predict(to_score),
    }


def _texts(examples: Examples) -> list[str]:
    if examples.second is None:
        return examples.first
    return [f"{first} {second}" for first, second in zip(examples.first, examples.second, strict=True)]


def baselines_text(scores: Mapping[str, Mapping[str, float]], split: str) -> str:
    """Return the scores of `score_linear_baselines` for people."""
    return "".join(f"{name:<20}  {split}  {format_scores(of_it)}\n" for name, of_it in scores.items())


def write_baselines(folder: Path, scores: Mapping[str, Mapping[str, float]], split: str) -> Path:
    """Write ``linear_baselines.txt``, and ``linear_baselines.csv`` with fractions; return the path of the first."""
    rows = ({"baseline": name, "split": split, **of_it} for name, of_it in scores.items())
    atomic_write_text(folder / BASELINES_CSV, csv_text(to_frame(rows)))
    path = folder / "linear_baselines.txt"
    atomic_write_text(path, baselines_text(scores, split))
    return path
