"""What linear models on TF-IDF reach without any teacher, by scikit-learn: the yardstick of the linear students."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.analysis.gains import BASELINES_CSV, LEAST_SQUARES, LOGISTIC
from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.text.examples import Examples, read_examples, read_training_examples
from power_bert.text.task import Split, Task
from power_bert.train.metrics import compute_scores, format_scores, metrics_to_compare


def score_linear_baselines(
    task: Task, data_dir: str, split: Split, train_examples: int | None = None
) -> dict[str, Mapping[str, float]]:
    """Name of a baseline → its scores on a split, learnt from `train_examples` training examples, or from all.

    The features are words in lower case with 1 + ln c and inverse document frequencies, as those of the linear student
    but for the word pieces. Least squares regresses on one-hot labels and takes the largest.

    Raises:
        UserError: the task has no classes, or the split no labels.
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
    """Name of a baseline → classes of the scored examples, int64 (examples,)."""
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
    """The scores of `score_linear_baselines` for people."""
    return "".join(f"{name:<20}  {split}  {format_scores(of_it)}\n" for name, of_it in scores.items())


def write_baselines(folder: Path, scores: Mapping[str, Mapping[str, float]], split: str) -> Path:
    """``linear_baselines.txt``, and the same as fractions in ``linear_baselines.csv``; returns the first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["baseline", "split", *next(iter(scores.values()))])
    writer.writerows([name, split, *of_it.values()] for name, of_it in scores.items())
    atomic_write_text(folder / BASELINES_CSV, text.getvalue())
    path = folder / "linear_baselines.txt"
    atomic_write_text(path, baselines_text(scores, split))
    return path
