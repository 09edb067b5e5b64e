"""The bidirectional LSTM equals Keras' with a mask."""

from typing import Any

import keras
import numpy as np
import pytest

from power_bert.model.students.lstm import BidirectionalLstm

LENGTHS = np.array([7, 1, 4])
UNITS, DIM = 5, 6
# Of the kernel, the recurrent kernel and the bias of one direction.
SHAPES = ((DIM, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,))


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 7, DIM)).astype("float32")


@pytest.fixture
def mask() -> np.ndarray:
    return (np.arange(7) < LENGTHS[:, None]).astype("int32")


@pytest.fixture
def layer(vectors: np.ndarray, mask: np.ndarray, randomize: Any) -> BidirectionalLstm:
    made = BidirectionalLstm(UNITS)
    made(vectors, mask)
    randomize(made)
    return made


def twin(layer: BidirectionalLstm) -> keras.layers.Bidirectional:
    """Keras' layer with the same weights."""
    other = keras.layers.Bidirectional(keras.layers.LSTM(UNITS))
    other.build((None, None, DIM))
    for direction, part in enumerate((other.forward_layer, other.backward_layer)):
        weights = (layer.kernel, layer.cell.recurrent_kernel, np.reshape(layer.bias, (2, -1)))
        part.set_weights(
            [np.asarray(weight)[direction].reshape(shape) for weight, shape in zip(weights, SHAPES, strict=True)]
        )
    return other


def test_equals_keras_with_a_mask(layer: Any, vectors: np.ndarray, mask: np.ndarray) -> None:
    expected = np.asarray(twin(layer)(vectors, mask=mask.astype(bool)))
    np.testing.assert_allclose(np.asarray(layer(vectors, mask)), expected, atol=1e-5)


def test_the_unrolled_form_computes_the_same(layer: Any, vectors: np.ndarray, mask: np.ndarray) -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only graphs of TensorFlow are unrolled")
    graph = tf.function(layer, autograph=False).get_concrete_function(tf.constant(vectors), tf.constant(mask))
    assert not [operation for operation in graph.graph.get_operations() if "While" in operation.type]
    result = graph(tf.constant(vectors), tf.constant(mask))
    np.testing.assert_allclose(np.asarray(result), np.asarray(layer(vectors, mask)), atol=1e-5)


def test_starts_as_keras_does() -> None:
    made = BidirectionalLstm(UNITS)
    made.build((None, None, DIM))
    bias = np.asarray(made.bias).reshape(2, 4, UNITS)
    assert (bias[:, 1] == 1).all() and bias.sum() == 2 * UNITS
    assert made.bias.shape == (2 * 4 * UNITS,), "of one dimension: a bias is neither decayed nor pruned"
    gate = np.asarray(made.cell.recurrent_kernel)[1, :, 2 * UNITS : 3 * UNITS]
    np.testing.assert_allclose(gate @ gate.T, np.eye(UNITS), atol=1e-5)
