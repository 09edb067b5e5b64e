"""Self-attention: Keras' own for the dot product, and what every similarity has in common."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.model.attention import HIDDEN_KEY_BIAS, AtLeast, SimilarityAttention

NUM_HEADS, HIDDEN = 3, 12
VISIBLE = np.arange(7) < np.array([[7], [4], [6]])


def hidden_states() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(3, 7, HIDDEN)).astype("float32")


def key_bias() -> np.ndarray:
    return np.where(VISIBLE, 0.0, HIDDEN_KEY_BIAS).astype("float32")


def make_layer(randomize: Any, similarity: str = "dot", **arguments: Any) -> SimilarityAttention:
    layer = SimilarityAttention(NUM_HEADS, similarity, name="attention", **arguments)
    layer.build((None, None, HIDDEN))
    return randomize(layer)  # type: ignore[no-any-return]


def test_dot_is_keras_multi_head_attention(randomize: Any) -> None:
    layer = make_layer(randomize)
    keras_layer = keras.layers.MultiHeadAttention(NUM_HEADS, HIDDEN // NUM_HEADS)
    keras_layer.build((3, 7, HIDDEN), (3, 7, HIDDEN))
    values = []
    for dense in (layer.query, layer.key, layer.value):
        values += [
            ops.reshape(dense.kernel, (HIDDEN, NUM_HEADS, -1)),
            ops.reshape(dense.bias, (NUM_HEADS, -1)),
        ]
    output = layer.output_projection
    keras_layer.set_weights([*values, ops.reshape(output.kernel, (NUM_HEADS, -1, HIDDEN)), output.bias])
    x = hidden_states()
    expected, expected_probabilities = keras_layer(
        x, x, attention_mask=np.repeat(VISIBLE[:, None], 7, axis=1), return_attention_scores=True
    )
    result, probabilities = layer(x, key_bias())
    assert np.abs(np.asarray(result) - np.asarray(expected)).max() < 1e-5
    assert np.abs(np.asarray(probabilities) - np.asarray(expected_probabilities)).max() < 1e-5


def test_probabilities_sum_to_one_and_hidden_keys_get_exactly_nothing(similarity: str, randomize: Any) -> None:
    layer = make_layer(randomize, similarity)
    output, probabilities = layer(hidden_states(), key_bias())
    assert output.shape == (3, 7, HIDDEN) and probabilities.shape == (3, NUM_HEADS, 7, 7)
    probabilities = np.asarray(probabilities)
    assert np.abs(probabilities.sum(-1) - 1).max() < 1e-6
    hidden = np.broadcast_to(~VISIBLE[:, None, None], probabilities.shape)
    assert probabilities[hidden].max() == 0


def test_probabilities_are_those_of_the_reference(similarity: str, randomize: Any, reference_scores: Any) -> None:
    layer, x = make_layer(randomize, similarity), hidden_states()
    query, key = (
        np.asarray(dense(x), np.float64).reshape(3, 7, NUM_HEADS, -1).swapaxes(1, 2)
        for dense in (layer.query, layer.key)
    )
    scale = None if layer.scale is None else np.asarray(layer.scale)
    expected = np.exp(reference_scores(similarity, query, key, scale)) * VISIBLE[:, None, None]
    expected /= expected.sum(-1, keepdims=True)
    assert np.abs(np.asarray(layer(x, key_bias())[1]) - expected).max() < 1e-5


def test_dropout_is_not_in_the_returned_probabilities(randomize: Any) -> None:
    layer = make_layer(randomize, dropout=0.5)
    trained, probabilities = layer(hidden_states(), key_bias(), training=True)
    predicted, expected = layer(hidden_states(), key_bias(), training=False)
    np.testing.assert_array_equal(probabilities, expected)
    assert np.abs(np.asarray(trained) - np.asarray(predicted)).max() > 1e-3


def test_mixed_bfloat16_is_near_float32(similarity: str, randomize: Any) -> None:
    mixed = make_layer(randomize, similarity, dtype="mixed_bfloat16")(hidden_states(), key_bias())
    exact = make_layer(randomize, similarity)(hidden_states(), key_bias())
    for result, reference in zip(mixed, exact, strict=True):
        result = ops.convert_to_numpy(ops.cast(result, "float32"))
        assert np.abs(result - np.asarray(reference)).mean() < 0.05


def test_the_scale_is_one_number_a_head_and_cannot_fall_below_its_floor(randomize: Any) -> None:
    assert make_layer(randomize, "dot").scale is None
    layer = make_layer(randomize, "cosine")
    assert layer.scale is not None and layer.scale.shape == (NUM_HEADS,)
    layer.scale.assign([-1.0, 0.001, 0.7])
    np.testing.assert_allclose(layer.scale.constraint(layer.scale), [0.01, 0.01, 0.7])
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply([ops.convert_to_tensor([0.0, 5.0, 0.2])], [layer.scale])
    np.testing.assert_allclose(layer.scale, [0.01, 0.01, 0.5], rtol=1e-6)
    assert AtLeast(**layer.scale.constraint.get_config()).minimum == 0.01


def test_heads_must_divide_the_hidden_dimension() -> None:
    with pytest.raises(ValueError, match="12 is not a multiple of 5 heads"):
        SimilarityAttention(5).build((None, None, 12))
