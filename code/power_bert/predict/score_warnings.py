"""Warnings about scores: training has not converged, or a constant prediction scores as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from power_bert.predict.metrics import compute_scores, format_score, is_defined
from power_bert.text.task import Task

# As a fraction: a smaller rise from one epoch to the next is noise on most dev sets.
_CLEAR_RISE = 0.01


def warn_of_convergence(task: Task, history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Warn if the last epoch is the best one and its score has clearly risen."""
    metric = task.metrics[0]
    scores = [entry["scores"].get(metric) for entry in history]
    if len(scores) < 2 or not is_defined(scores[-1]):
        return
    best_before = max(filter(is_defined, scores[:-1]), default=None)
    if best_before is None or scores[-1] - best_before > _CLEAR_RISE:
        yield (
            f"not converged: dev {metric} still rises in the last of {len(scores)} epochs ({format_score(best_before)} "
            f"→ {format_score(scores[-1])}); more epochs will probably score higher"
        )


def warn_of_constant(task: Task, labels: np.ndarray, scores: Mapping[str, float | None]) -> Iterator[str]:
    """Warn of metrics in which the best constant prediction, usually the most frequent class, scores as well."""
    beaten = []
    for metric, score in scores.items():
        answer, constant = _best_constant(task, metric, labels)
        if not is_defined(score) or score <= constant:
            beaten.append(f"{metric} {format_score(score)} (always {answer}: {format_score(constant)})")
    if beaten:
        yield f"no better than a constant prediction: {', '.join(beaten)}"


def _best_constant(task: Task, metric: str, labels: np.ndarray) -> tuple[str, float]:
    """Return the best constant prediction and its score; a correlation with a constant counts as 0."""
    if task.class_names is None:
        return "the same score", 0.0
    scores = [
        compute_scores([metric], labels, np.full_like(labels, index))[metric] for index in range(len(task.class_names))
    ]
    best = int(np.argmax(scores))
    return repr(task.class_names[best]), scores[best]
