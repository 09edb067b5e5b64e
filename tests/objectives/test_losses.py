"""Every loss by value against NumPy and by gradient against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from power_bert.objectives import losses

GENERATOR = np.random.default_rng(0)
LOGITS, TEACHER = (GENERATOR.normal(0, 2, (4, 3)).astype("float32") for _ in range(2))
LABELS = np.array([2, 0, 1, 1], "int32")
MASK = (np.arange(5) < np.array([[5], [2], [3]])).astype("int32")
HIDDEN, TEACHER_HIDDEN = (GENERATOR.normal(size=(3, 5, 4)).astype("float32") for _ in range(2))


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def attention(heads: int) -> np.ndarray:
    scores = GENERATOR.normal(size=(3, heads, 5, 5)) + (MASK[:, None, None, :] - 1) * 1e9
    return softmax(scores).astype("float32")


ATTENTION, TEACHER_ATTENTION = attention(2), attention(3)


def over_words(values: np.ndarray) -> np.ndarray:
    return np.asarray((values * MASK).sum(1) / MASK.sum(1))


def kl(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    ratio = np.log(np.maximum(teacher, 1e-12)) - np.log(np.maximum(student, 1e-12))
    return np.asarray((np.maximum(teacher, 1e-12) * ratio).sum(-1))


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((left * right).sum(-1) / np.linalg.norm(left, axis=-1) / np.linalg.norm(right, axis=-1))


def mean_attention_error(values: np.ndarray) -> np.ndarray:
    squared = (values.mean(1) - TEACHER_ATTENTION.mean(1)) ** 2
    return over_words(squared.sum(-1) / MASK.sum(1, keepdims=True))


# Name → ours, its reference in NumPy, and the student's array.
CASES: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
    "hard": (
        lambda z: losses.hard_labels(z, LABELS),
        lambda z: -np.log(softmax(z)[np.arange(4), LABELS]),
        LOGITS,
    ),
    "squared": (
        lambda z: losses.squared_error(z, np.array([1.0, 2.0, 0.5, 4.0], "float32")),
        lambda z: (z[:, 0] - [1.0, 2.0, 0.5, 4.0]) ** 2,
        LOGITS[:, :1],
    ),
    "soft_1": (
        lambda z: losses.soft_labels(z, TEACHER, 1.0),
        lambda z: kl(softmax(TEACHER), softmax(z)),
        LOGITS,
    ),
    "soft_4": (
        lambda z: losses.soft_labels(z, TEACHER, 4.0),
        lambda z: 16 * kl(softmax(TEACHER / 4), softmax(z / 4)),
        LOGITS,
    ),
    "mse": (
        lambda z: losses.logits_mse(z, TEACHER),
        lambda z: ((z - TEACHER) ** 2).mean(-1),
        LOGITS,
    ),
    "hidden": (
        lambda h: losses.hidden_mse(h, TEACHER_HIDDEN, MASK),
        lambda h: over_words(((h - TEACHER_HIDDEN) ** 2).mean(-1)),
        HIDDEN,
    ),
    "cosine": (
        lambda h: losses.hidden_cosine(h, TEACHER_HIDDEN, MASK),
        lambda h: over_words(1 - cosine(h, TEACHER_HIDDEN)),
        HIDDEN,
    ),
    "attention_mse": (
        lambda a: losses.attention_mse(a, TEACHER_ATTENTION, MASK),
        mean_attention_error,
        ATTENTION,
    ),
    "attention_kl": (
        lambda a: losses.attention_kl(a, TEACHER_ATTENTION, MASK),
        lambda a: over_words(kl(TEACHER_ATTENTION.mean(1), a.mean(1))),
        # No zeros, at which the reference's logarithm has a corner.
        np.maximum(ATTENTION, 0.05),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value(name: str) -> None:
    ours, reference, array = CASES[name]
    result = np.asarray(ours(array))
    assert result.shape == (len(array),)
    np.testing.assert_allclose(result, reference(array.astype(np.float64)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str, gradient: Any, finite_differences: Any) -> None:
    ours, reference, array = CASES[name]
    expected = finite_differences(reference, array)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient(ours, array), expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(
    ("loss", "student", "teacher"),
    [
        (losses.hidden_mse, HIDDEN, TEACHER_HIDDEN),
        (losses.hidden_cosine, HIDDEN, TEACHER_HIDDEN),
        (losses.attention_mse, ATTENTION, TEACHER_ATTENTION),
        (losses.attention_kl, ATTENTION, TEACHER_ATTENTION),
    ],
)
def test_more_padding_changes_nothing(loss: Any, student: np.ndarray, teacher: np.ndarray) -> None:
    axes = [axis for axis in range(1, student.ndim) if student.shape[axis] == 5]
    widths = [(0, 3 if axis in axes else 0) for axis in range(student.ndim)]
    padded = [np.pad(values, widths) for values in (student, teacher)]
    result = loss(*padded, np.pad(MASK, ((0, 0), (0, 3))))
    np.testing.assert_allclose(result, loss(student, teacher, MASK), rtol=1e-5, atol=1e-6)


def test_nothing_to_learn_from_an_equal_teacher() -> None:
    assert np.abs(np.asarray(losses.soft_labels(LOGITS, LOGITS + 3.0, 2.0))).max() < 1e-5
    assert np.abs(np.asarray(losses.hidden_cosine(HIDDEN, 2 * HIDDEN, MASK))).max() < 1e-5
    assert np.abs(np.asarray(losses.attention_kl(ATTENTION, ATTENTION, MASK))).max() < 1e-5


def test_the_gradient_of_soft_labels_hardly_depends_on_a_high_temperature(gradient: Any) -> None:
    small, large = (gradient(lambda z, t=t: losses.soft_labels(z, TEACHER, t), LOGITS) for t in (50.0, 200.0))
    np.testing.assert_allclose(small, large, rtol=0.1, atol=0.01)


def test_zero_vectors_have_finite_gradients(gradient: Any) -> None:
    zero = np.zeros_like(HIDDEN)
    assert np.isfinite(gradient(lambda h: losses.hidden_cosine(h, TEACHER_HIDDEN, MASK), zero)).all()
