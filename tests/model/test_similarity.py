"""Similarity scores by value, by gradient, and where floating point is at its worst."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras import ops

from power_bert.model.similarity import SIMILARITIES, SMALLEST_SCALE

SCALE = np.array([0.3, 1.0, 2.5], "float32")
DISTANCES = ("euclidean", "gaussian")


def vectors(length: int = 7, seed: int = 0, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys, float32 (3, 3, length, 4)."""
    generator = np.random.default_rng(seed)
    query, key = (generator.normal(0.0, size, (3, 3, length, 4)).astype("float32") for _ in range(2))
    return query, key


def scores(similarity: str, query: Any, key: Any, scale: Any = SCALE) -> np.ndarray:
    result = SIMILARITIES[similarity].scores(ops.convert_to_tensor(query), ops.convert_to_tensor(key), scale)
    return np.asarray(ops.convert_to_numpy(ops.cast(result, "float32")))


def test_equals_the_reference(similarity: str, reference_scores: Callable[..., np.ndarray]) -> None:
    query, key = vectors()
    expected = reference_scores(similarity, query, key, SCALE)
    assert np.abs(scores(similarity, query, key) - expected).max() < 2e-5


def test_the_reference_on_a_pair_by_hand(reference_scores: Callable[..., np.ndarray]) -> None:
    query, key = np.array([[[3.0, 4.0, 0.0, 0.0]]]), np.array([[[0.0, 1.0, 0.0, 0.0]]])
    by_hand = {"dot": 4 / 2, "cosine": 0.8 / 0.5, "euclidean": -np.sqrt(18) * 0.5, "gaussian": -18 / (2 * 0.25)}
    for name, expected in by_hand.items():
        assert reference_scores(name, query, key, np.array([0.5])).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("similarity", "power"), [("cosine", -1), ("euclidean", 1), ("gaussian", -2)], ids=["cosine", "euclidean", "gauss"]
)
def test_the_scale_is_learned_per_head_and_has_a_floor(similarity: str, power: int) -> None:
    query, key = vectors()
    one = scores(similarity, query, key, np.ones(3, "float32"))
    each = scores(similarity, query, key, np.array([1.0, 2.0, 1.0], "float32"))
    np.testing.assert_array_equal(each[:, [0, 2]], one[:, [0, 2]])
    np.testing.assert_allclose(each[:, 1], one[:, 1] * 2.0**power, rtol=1e-5)
    for below in (0.0, -3.0, SMALLEST_SCALE / 2):
        np.testing.assert_array_equal(
            scores(similarity, query, key, np.full(3, below, "float32")),
            scores(similarity, query, key, np.full(3, SMALLEST_SCALE, "float32")),
        )


def test_where_the_scale_starts() -> None:
    assert SIMILARITIES["dot"].initial_scale is None
    starts = {name: value.initial_scale(16) for name, value in SIMILARITIES.items() if value.initial_scale}
    assert starts == {"cosine": 0.1, "euclidean": 1.0, "gaussian": 2.0}


def test_the_gaussian_starts_as_dot_attention_with_a_bias_on_keys(reference_scores: Callable[..., np.ndarray]) -> None:
    query, key = vectors()
    initial_scale = SIMILARITIES["gaussian"].initial_scale
    assert initial_scale is not None
    gaussian = scores("gaussian", query, key, np.full(3, initial_scale(4), "float32"))
    biased = reference_scores("dot", query, key) - (key.astype("float64") ** 2).sum(-1)[..., None, :] / (2 * 2)
    rest = gaussian - biased  # what is left depends on the query alone: the softmax over keys does not see it
    assert np.abs(rest - rest[..., :1]).max() < 1e-5


@pytest.mark.parametrize("which", ["query", "key", "both"])
def test_zero_vectors_give_finite_scores_and_gradients(
    similarity: str, which: str, gradients: Callable[..., list[np.ndarray]]
) -> None:
    query, key = vectors()
    if which != "key":
        query[:, :, 2] = 0
    if which != "query":
        key[:, :, 2] = 0
    result = scores(similarity, query, key)
    assert np.isfinite(result).all()
    if similarity in ("dot", "cosine"):
        assert np.abs(result[:, :, 2] if which != "key" else result[..., 2]).max() == 0
    function = SIMILARITIES[similarity].scores
    for gradient in gradients(lambda q, k: ops.sum(ops.sin(function(q, k, SCALE))), query, key):
        assert np.isfinite(gradient).all()


def test_identical_vectors_have_no_distance_and_a_finite_gradient(gradients: Callable[..., list[np.ndarray]]) -> None:
    query, _ = vectors()
    diagonal = scores("euclidean", query, query)[:, :, range(7), range(7)]
    # The squared distance is a difference of numbers near 10: what cancels to float32 precision is left of it.
    assert np.abs(diagonal).max() < 0.01 and diagonal.max() <= 0
    function = SIMILARITIES["euclidean"].scores
    for gradient in gradients(lambda q, k: ops.sum(function(q, k, SCALE)), query, query.copy()):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1e3


def test_gradients_against_finite_differences(
    similarity: str, gradients: Callable[..., list[np.ndarray]], reference_scores: Callable[..., np.ndarray]
) -> None:
    query, key = vectors(length=3)
    weights = np.random.default_rng(1).normal(size=(3, 3, 3, 3))
    function = SIMILARITIES[similarity].scores
    inputs = [query, key] if similarity == "dot" else [query, key, SCALE]

    def loss(*arrays: Any) -> Any:
        scale = arrays[2] if len(arrays) > 2 else None
        return ops.sum(function(arrays[0], arrays[1], scale) * weights.astype("float32"))

    def reference_loss(arrays: list[np.ndarray]) -> float:
        return float((reference_scores(similarity, *arrays) * weights).sum())

    for position, gradient in enumerate(gradients(loss, *inputs)):
        numeric = np.zeros(inputs[position].shape)
        for index in np.ndindex(numeric.shape):
            shifted = []
            for step in (1e-5, -1e-5):
                arrays = [array.astype("float64") for array in inputs]
                arrays[position][index] += step
                shifted.append(reference_loss(arrays))
            numeric[index] = (shifted[0] - shifted[1]) / 2e-5
        assert np.abs(gradient - numeric).max() < 2e-4 * max(1.0, np.abs(numeric).max())


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_bfloat16_stays_close_to_the_reference(
    similarity: str, size: float, reference_scores: Callable[..., np.ndarray]
) -> None:
    query, key = (ops.cast(array, "bfloat16") for array in vectors(size=size))
    rounded = [np.asarray(ops.convert_to_numpy(ops.cast(array, "float32"))) for array in (query, key)]
    expected = reference_scores(similarity, *rounded, np.ones(3))
    result = scores(similarity, query, key, np.ones(3, "float32"))
    # Distances are computed in float32; Euclidean scores are then rounded to eight bits.
    tolerance = {"gaussian": 1e-4, "euclidean": 2**-8}.get(similarity, 0.02)
    assert np.abs(result - expected).max() < tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("similarity", DISTANCES)
def test_near_equal_vectors_of_large_norm_do_not_cancel_in_bfloat16(
    similarity: str, reference_scores: Callable[..., np.ndarray]
) -> None:
    query, _ = vectors(size=16.0)
    query = np.round(query)  # integers below 256 are exact in bfloat16
    key = query + 1.0
    result = scores(similarity, ops.cast(query, "bfloat16"), ops.cast(key, "bfloat16"), np.ones(3, "float32"))
    expected = reference_scores(similarity, query, key, np.ones(3))
    assert np.abs(result - expected).max() < 2**-8 * np.abs(expected).max()
    neighbors = result[:, :, range(7), range(7)]
    assert np.abs(neighbors - (-2.0)).max() < 0.01  # ‖(1,1,1,1)‖ = 2, and 4 / 2 = 2


def test_length_512_is_finite_and_keeps_its_type(similarity: str) -> None:
    for dtype in ("float32", "bfloat16"):
        query, key = (ops.cast(array[:1], dtype) for array in vectors(length=512, size=20.0))
        result = SIMILARITIES[similarity].scores(query, key, SCALE)
        assert tuple(result.shape) == (1, 3, 512, 512)
        assert np.isfinite(ops.convert_to_numpy(ops.cast(result, "float32"))).all()
        assert np.isfinite(ops.convert_to_numpy(ops.cast(ops.softmax(result), "float32"))).all()
