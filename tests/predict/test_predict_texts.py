"""Tests of predict_texts: one row in, one row out, in order, whatever the batching and the chunks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras import ops

from power_bert.errors import UserError
from power_bert.predict.predict_texts import Predictor
from power_bert.text.examples import Examples
from power_bert.text.glue_tasks import get_task

MAX_LENGTH = 24
# Empty ones, very long ones, and one that is all unknown, among others of many lengths.
TEXTS = ["the cat sat.", "", "dog " * 5000, "x", "", *(" ".join(["mouse"] * n) for n in range(1, 30)), "猫 é", " \t "]


def chunks(texts: list[str], size: int) -> list[Examples]:
    return [Examples(texts[start : start + size], None, None) for start in range(0, len(texts), size)]


@pytest.fixture(scope="module")
def classifier(make_classifier: Callable[..., Any]) -> Any:
    return make_classifier(extraction="hard", retention=(0.6, 0.2))


@pytest.fixture(scope="module")
def expected(classifier: Any) -> np.ndarray:
    """The model's outputs for each text alone."""
    return np.concatenate([ops.convert_to_numpy(classifier(classifier.preprocessor([text]))) for text in TEXTS])


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_rows_are_in_order_whatever_the_chunks(size: int, classifier: Any, expected: np.ndarray) -> None:
    predictor = Predictor(classifier, MAX_LENGTH)
    outputs = np.concatenate([predictor.outputs(examples) for examples in chunks(TEXTS, size)])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert len(np.unique(expected.round(4), axis=0)) > 10, "the texts can be told apart"


def test_predictions_are_counted(classifier: Any, expected: np.ndarray) -> None:
    told: list[int] = []
    found = list(Predictor(classifier, MAX_LENGTH).predictions(get_task("cola"), chunks(TEXTS, 11), told.append))
    assert told == [11, 11, 11, len(TEXTS) - 33]
    assert np.concatenate(found).tolist() == expected.argmax(axis=-1).tolist()


def test_pairs_with_empty_and_long_texts(make_classifier: Callable[..., Any]) -> None:
    classifier = make_classifier(labels=None)
    first, second = ["", "cat " * 900, "the dog", ""], ["", "", "mouse " * 900, "ran"]
    predictor = Predictor(classifier, MAX_LENGTH)
    scores = np.concatenate(list(predictor.predictions(get_task("sts-b"), [Examples(first, second, None)])))
    alone = [predictor.outputs(Examples([a], [b], None))[0, 0] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_weights_that_are_not_finite(make_classifier: Callable[..., Any]) -> None:
    classifier = make_classifier()
    classifier.output_dense.bias.assign(np.array([np.nan, 0.0], np.float32))
    with pytest.raises(UserError, match=r"output for 'the cat sat\.' is not a number: its weights are not finite"):
        Predictor(classifier, MAX_LENGTH).outputs(Examples(["the cat sat."], None, None))
