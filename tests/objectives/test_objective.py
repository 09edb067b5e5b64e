"""The parts of the loss and their weights."""

from typing import Any

import numpy as np
import pytest

from power_bert.config.values import Schedule
from power_bert.objectives import losses
from power_bert.objectives.objective import Objective, output_loss, pack_targets

GENERATOR = np.random.default_rng(1)
LOGITS, FIRST, SECOND = (GENERATOR.normal(0, 2, (4, 3)).astype("float32") for _ in range(3))
LABELS = np.array([2.0, -1.0, 0.0, 1.0])


def constant(value: float) -> Schedule:
    return Schedule("constant", value, value)


def objective(num_teachers: int, **changes: Any) -> Objective:
    settings = {"alpha": constant(0.3), "temperature": constant(2.0), "loss": "kl", **changes}
    return Objective(3, num_teachers, **settings)


def value(chosen: Objective, *teachers: np.ndarray, progress: float = 0.0) -> np.ndarray:
    return np.asarray(output_loss(chosen, LOGITS, pack_targets(LABELS, teachers), progress))


def hard() -> np.ndarray:
    return np.asarray(losses.hard_labels(LOGITS, np.maximum(LABELS, 0).astype("int32")))


def soft(teacher: np.ndarray, temperature: float = 2.0) -> np.ndarray:
    return np.asarray(losses.soft_labels(LOGITS, teacher, temperature))


def test_labels_and_one_teacher() -> None:
    expected = np.where(LABELS >= 0, 0.3 * hard() + 0.7 * soft(FIRST), soft(FIRST))
    np.testing.assert_allclose(value(objective(1), FIRST), expected, rtol=1e-5)


def test_a_conditional_teacher_counts_where_it_is_correct() -> None:
    """A wrongly labeled example is learned from its label, one without a label from the teacher."""
    right, wrong = np.array([0, 0, 9], "float32"), np.array([0, 9, 0], "float32")
    teacher = np.stack([right, wrong, wrong, wrong])  # of the labels 2, none, 0 and 1
    result = value(objective(1, conditional=True), teacher)
    mixed = 0.3 * hard() + 0.7 * soft(teacher)
    np.testing.assert_allclose(result, [mixed[0], soft(teacher)[1], hard()[2], mixed[3]], rtol=1e-5)


def test_no_teacher() -> None:
    labeled = LABELS >= 0
    np.testing.assert_allclose(value(objective(0))[labeled], hard()[labeled], rtol=1e-5)


def test_logits() -> None:
    result = value(objective(1, alpha=constant(0.0), loss="mse"), FIRST)
    np.testing.assert_allclose(result, ((LOGITS - FIRST) ** 2).mean(-1), rtol=1e-5)


def test_cls_states_belong_to_the_teacher() -> None:
    """Where the labels take over (teacher annealing), the teacher's states no longer count."""
    states, taught = (GENERATOR.normal(0, 1, (4, 2, 5)).astype("float32") for _ in range(2))
    targets = pack_targets(LABELS, [np.concatenate([FIRST, taught.reshape(4, 10)], axis=1)])
    chosen = objective(1, alpha=Schedule("linear", 0.1, 1.0), loss="mse", cls_weight=0.5)
    teacher = ((LOGITS - FIRST) ** 2).mean(-1) + 0.5 * ((states - taught) ** 2).mean((1, 2))
    for progress, alpha in ((0.0, 0.1), (0.5, 0.55), (1.0, 1.0)):
        expected = np.where(LABELS >= 0, alpha * hard() + (1 - alpha) * teacher, teacher)
        result = output_loss(chosen, LOGITS, targets, progress, states)
        np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_two_teachers() -> None:
    alone = {"alpha": constant(0.0)}
    equal = value(objective(2, **alone), FIRST, SECOND)
    np.testing.assert_allclose(equal, (soft(FIRST) + soft(SECOND)) / 2, rtol=1e-5)
    given = value(objective(2, **alone, weighting="given", given_weights=(3.0, 1.0)), FIRST, SECOND)
    np.testing.assert_allclose(given, 0.75 * soft(FIRST) + 0.25 * soft(SECOND), rtol=1e-5)
    for weighting in ("confidence", "loss"):
        result = value(objective(2, **alone, weighting=weighting), FIRST, SECOND)
        low, high = np.minimum(soft(FIRST), soft(SECOND)), np.maximum(soft(FIRST), soft(SECOND))
        assert ((low - 1e-5 <= result) & (result <= high + 1e-5)).all()
    # Without a label, the loss cannot tell the teachers apart.
    np.testing.assert_allclose(result[1], equal[1], rtol=1e-5)


def test_schedules() -> None:
    chosen = objective(1, alpha=Schedule("linear", 0.0, 1.0), temperature=Schedule("linear", 4.0, 1.0))
    np.testing.assert_allclose(value(chosen, FIRST), soft(FIRST, 4.0), rtol=1e-5)
    halfway = value(chosen, FIRST, progress=0.5)
    np.testing.assert_allclose(halfway[0], (hard() + soft(FIRST, 2.5))[0] / 2, rtol=1e-5)
    np.testing.assert_allclose(value(chosen, FIRST, progress=1.0)[0], hard()[0], rtol=1e-5)


def test_scores() -> None:
    chosen = Objective(1, 1, constant(0.5), constant(1.0), "kl")
    targets = pack_targets(np.array([1.0, np.nan, -2.0, 0.0]), [FIRST[:, :1]])
    result = np.asarray(output_loss(chosen, LOGITS[:, :1], targets, 0.0))
    taught = (LOGITS[:, 0] - FIRST[:, 0]) ** 2
    true = (LOGITS[:, 0] - np.array([1.0, 0.0, -2.0, 0.0])) ** 2
    np.testing.assert_allclose(result, np.where([True, False, True, True], (true + taught) / 2, taught), rtol=1e-5)


def test_scores_of_two_teachers(gradient: Any) -> None:
    chosen = Objective(1, 2, constant(0.0), constant(1.0), "kl", weighting="loss")
    labels, given = np.array([1.0, np.nan, -2.0, 0.0]), [FIRST[:, :1], SECOND[:, :1]]
    result = np.asarray(output_loss(chosen, LOGITS[:, :1], pack_targets(labels, given), 0.0))
    teachers = np.concatenate(given, axis=1)
    weights = np.exp(-np.square(teachers - np.nan_to_num(labels)[:, None]))
    weights[1] = 1.0  # without a label, both count alike
    taught = (np.square(LOGITS[:, :1] - teachers) * weights / weights.sum(1, keepdims=True)).sum(1)
    np.testing.assert_allclose(result, taught, rtol=1e-4)
    assert np.isfinite(
        gradient(lambda z: output_loss(chosen, z, pack_targets(labels, given), 0.0), LOGITS[:, :1])
    ).all()


@pytest.mark.parametrize("weighting", ["equal", "given", "confidence", "loss"])
def test_equal_teachers_are_one_teacher(weighting: str) -> None:
    chosen = objective(2, weighting=weighting, given_weights=(2.0, 5.0))
    np.testing.assert_allclose(value(chosen, FIRST, FIRST), value(objective(1), FIRST), rtol=1e-5)
