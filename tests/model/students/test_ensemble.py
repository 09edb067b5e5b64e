"""An ensemble averages probabilities."""

from typing import Any

import numpy as np
import pytest

from power_bert.model.students.ensemble import EnsembleBackbone, mean_logits


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def test_mean_of_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (3, 2, 4)).astype("float32")
    result = np.asarray(mean_logits(list(logits)))
    np.testing.assert_allclose(np.exp(result), softmax(logits).mean(axis=0), atol=1e-6)


def test_the_members_are_averaged(make_student: Any, make_inputs: Any) -> None:
    members, inputs = [make_student("cnn"), make_student("bilstm")], make_inputs()
    expected = np.mean([softmax(np.asarray(member(inputs))) for member in members], axis=0)
    result = EnsembleBackbone.of(members)(inputs)["pooled_output"]
    np.testing.assert_allclose(softmax(np.asarray(result)), expected, atol=1e-6)


def test_scores_are_averaged(make_student: Any, make_inputs: Any) -> None:
    members, inputs = [make_student("cnn", 1), make_student("linear", 1)], make_inputs()
    expected = np.mean([np.asarray(member(inputs)) for member in members], axis=0)
    np.testing.assert_allclose(EnsembleBackbone.of(members)(inputs)["pooled_output"], expected, atol=1e-5)


def test_members_of_different_classes_are_refused(make_student: Any) -> None:
    with pytest.raises(ValueError, match="same number of classes"):
        EnsembleBackbone.of([make_student("cnn", 3), make_student("cnn", 2)])
