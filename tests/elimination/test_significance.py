"""Significance and ranks: examples by hand, and that padding has no part in them."""

from typing import Any

import numpy as np
import pytest
from keras import ops

from power_bert.elimination.significance import protected_scores, ranks, significance
from power_bert.model.attention import HIDDEN_KEY_BIAS, SimilarityAttention

SCORES = np.array([[0.0, 0.9, 0.1, 0.5, 0.3, 0.7, 0.2], [0.1, 0.2, 0.8, 0.4, 0.0, 0.0, 0.0]], "float32")
VISIBILITY = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], "float32")


def test_by_hand() -> None:
    first_head = [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.0, 0.4]]
    second_head = [[0.2, 0.2, 0.6], [0.3, 0.3, 0.4], [0.25, 0.75, 0.0]]
    probabilities = np.array([[first_head, second_head]], "float32")
    # word 0: 0.1 + 0.6 + 0.3 + 0.25; word 1: 0.3 + 0.0 + 0.2 + 0.75; word 2: 0.2 + 0.1 + 0.6 + 0.4
    everyone = significance(probabilities, np.ones((1, 3), "float32"))
    np.testing.assert_allclose(everyone, [[1.25, 1.25, 1.3]], rtol=1e-6)
    # The last query is padding: its 0.6, 0.0, 0.25 and 0.75 do not count.
    without_last = significance(probabilities, np.array([[1, 1, 0]], "float32"))
    np.testing.assert_allclose(without_last, [[0.4, 0.5, 1.3]], rtol=1e-6)
    half_seen = significance(probabilities, np.array([[1, 1, 0.5]], "float32"))
    np.testing.assert_allclose(half_seen, [[0.825, 0.875, 1.3]], rtol=1e-6)


def test_attention_to_itself_does_not_count() -> None:
    np.testing.assert_array_equal(significance(np.eye(5)[None, None].repeat(3, 1), np.ones((1, 5))), np.zeros((1, 5)))


def test_no_gradient_flows_through_it(gradients: Any) -> None:
    probabilities, visibility = np.full((1, 2, 3, 3), 1 / 3, "float32"), np.ones((1, 3), "float32")

    def loss(p: Any, v: Any) -> Any:
        return ops.sum(p) + ops.sum(v) + ops.sum(significance(p, v))

    for gradient in gradients(loss, probabilities, visibility):
        np.testing.assert_array_equal(gradient, np.ones_like(gradient))


@pytest.mark.parametrize("padding", [1, 16])
def test_more_padding_does_not_change_the_significance_of_words(padding: int, similarity: str, randomize: Any) -> None:
    layer = SimilarityAttention(3, similarity, name="attention")
    layer.build((None, None, 12))
    randomize(layer)
    generator = np.random.default_rng(0)
    hidden_states = generator.normal(size=(3, 7, 12)).astype("float32")
    padded = np.concatenate([hidden_states, generator.normal(size=(3, padding, 12)).astype("float32")], axis=1)

    def received(x: np.ndarray) -> np.ndarray:
        seen = (np.arange(x.shape[1]) < np.array([[7], [4], [6]])).astype("float32")
        return np.asarray(significance(layer(x, (seen - 1) * -HIDDEN_KEY_BIAS)[1], seen))

    np.testing.assert_allclose(received(padded)[:, :7], received(hidden_states), atol=1e-6)
    np.testing.assert_array_equal(received(padded)[:, 7:], 0)


def test_protected_scores() -> None:
    protected = np.asarray(protected_scores(SCORES, VISIBILITY))
    assert (protected[:, 0] > protected[:, 1:].max()).all()
    np.testing.assert_array_equal(protected[0, 1:], SCORES[0, 1:])
    assert protected[1, 4:].max() < 0
    half = ops.cast(SCORES, "float16")
    assert np.isfinite(ops.convert_to_numpy(protected_scores(half, VISIBILITY))).all()


def test_ranks() -> None:
    result = np.asarray(ranks(SCORES, VISIBILITY))
    assert result[0].tolist() == [0, 1, 6, 3, 4, 2, 5]
    assert result[1, :4].tolist() == [0, 3, 1, 2]
    assert sorted(result[1, 4:]) == [4, 5, 6]
    assert result.dtype == np.int32
