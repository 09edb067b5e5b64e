"""Tests of power_bert.predict.score_warnings."""

from typing import Any

import numpy as np
import pytest

from power_bert.predict.score_warnings import warn_of_constant, warn_of_convergence
from power_bert.text.custom_task import make_custom_task
from power_bert.text.glue_tasks import get_task

NAN = float("nan")
BINARY = np.array([1, 1, 1, 0])


def history(*scores: float | None) -> list[dict[str, Any]]:
    return [{"epoch": number, "scores": {"matthews": score}} for number, score in enumerate(scores, start=1)]


@pytest.mark.parametrize("scores", [(0.2, 0.3), (0.3, 0.1, 0.32), (NAN, 0.2), (None, None, 0.2), (0.1, NAN, 0.2)])
def test_a_score_that_still_rises(scores: tuple[float | None, ...]) -> None:
    (found,) = warn_of_convergence(get_task("cola"), history(*scores))
    assert found.startswith(f"not converged: dev matthews still rises in the last of {len(scores)} epochs (")
    assert f"→ {100 * (scores[-1] or 0):.2f})" in found


@pytest.mark.parametrize("scores", [(), (0.3,), (0.3, 0.3), (0.3, 0.305), (0.1, 0.4, 0.3), (0.2, NAN), (NAN, None)])
def test_one_that_does_not_or_that_nobody_knows(scores: tuple[float | None, ...]) -> None:
    assert not list(warn_of_convergence(get_task("cola"), history(*scores)))


def classes(metric: str, *labels: str) -> Any:
    return make_custom_task(("text",), "label", labels, metric)


@pytest.mark.parametrize(
    ("task", "labels", "scores", "said"),
    [
        (get_task("cola"), BINARY, {"matthews": 0.0}, "matthews 0.00 (always 'unacceptable': 0.00)"),
        (get_task("cola"), BINARY, {"matthews": -0.1}, "matthews -10.00 (always 'unacceptable': 0.00)"),
        (get_task("mrpc"), BINARY, {"f1": 0.8571, "accuracy": 0.7}, "accuracy 70.00 (always 'equivalent': 75.00)"),
        (
            get_task("mrpc"),
            1 - BINARY,
            {"f1": 0.4, "accuracy": 0.75},
            "accuracy 75.00 (always 'not_equivalent': 75.00)",
        ),
        (
            classes("accuracy", "a", "b", "c"),
            np.array([2, 2, 1]),
            {"accuracy": 0.5},
            "accuracy 50.00 (always 'c': 66.67)",
        ),
        (classes("macro_f1", "a", "b"), BINARY, {"macro_f1": 0.42}, "macro_f1 42.00 (always 'b': 42.86)"),
        (get_task("sts-b"), np.array([0.5, 3.0]), {"spearman": -0.2}, "spearman -20.00 (always the same score: 0.00)"),
        (get_task("sts-b"), np.array([0.5, 3.0]), {"pearson": NAN}, "pearson undefined (always the same score: 0.00)"),
    ],
)
def test_what_a_constant_answer_scores(task: Any, labels: np.ndarray, scores: dict[str, float], said: str) -> None:
    (found,) = warn_of_constant(task, labels, scores)
    assert found.startswith("no better than a constant prediction: ") and said in found


@pytest.mark.parametrize(
    ("task", "labels", "scores"),
    [
        (get_task("cola"), BINARY, {"matthews": 0.01}),
        (get_task("mrpc"), BINARY, {"f1": 0.86, "accuracy": 0.76}),
        (classes("macro_f1", "a", "b"), BINARY, {"macro_f1": 0.43, "accuracy": 0.8}),
        (get_task("sts-b"), np.array([0.5, 3.0]), {"spearman": 0.01, "pearson": 0.02}),
    ],
)
def test_nothing_is_said_of_a_model_that_has_learned(task: Any, labels: np.ndarray, scores: dict[str, float]) -> None:
    assert not list(warn_of_constant(task, labels, scores))
