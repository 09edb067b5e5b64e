"""The fast layers compute what Keras' layers compute, and so do their gradients."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.model.fast_layers import ByteDropout, LayerNorm, TokenDense, gelu, gelu_tanh

SHAPE = (3, 5, 8)
Gradients = Callable[..., list[np.ndarray]]


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_gelu_and_its_gradient(gradients: Gradients) -> None:
    x = np.concatenate([values(4, 50), [[-30.0, -5.0, 0.0, 5.0, 30.0] * 10]]).astype(np.float32)
    weights = values(*x.shape, seed=1)
    expected = ops.gelu(x, approximate=False)
    np.testing.assert_allclose(gelu(x), expected, atol=1e-6)
    ours, keras_own = (
        gradients(lambda x, function=function: ops.sum(function(x) * weights), x)[0]
        for function in (gelu, lambda x: ops.gelu(x, approximate=False))
    )
    np.testing.assert_allclose(ours, keras_own, atol=2e-6)


def test_layer_norm_and_its_gradients(gradients: Gradients) -> None:
    x, gamma, beta, weights = values(*SHAPE), values(8, seed=1), values(8, seed=2), values(*SHAPE, seed=3)

    def loss_of(kind: type[keras.layers.LayerNormalization]) -> Callable[..., Any]:
        layer = kind(epsilon=1e-12)
        layer.build(SHAPE)

        def loss(x: Any, gamma: Any, beta: Any) -> Any:
            outputs, _ = layer.stateless_call([gamma, beta], [], x)
            return ops.sum(outputs * weights)

        return loss

    for ours, expected in zip(
        *(gradients(loss_of(kind), x, gamma, beta) for kind in (LayerNorm, keras.layers.LayerNormalization)),
        strict=True,
    ):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_layer_norm_is_that_of_keras(dtype: str) -> None:
    ours, expected = LayerNorm(epsilon=1e-12, dtype=dtype), keras.layers.LayerNormalization(epsilon=1e-12, dtype=dtype)
    for layer in (ours, expected):
        layer.build(SHAPE)
        layer.set_weights([values(8, seed=1), values(8, seed=2)])
    x = values(*SHAPE)
    assert keras.backend.standardize_dtype(ours(x).dtype) == keras.backend.standardize_dtype(expected(x).dtype)
    tolerance = 2e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(ops.cast(ours(x), "float32"), ops.cast(expected(x), "float32"), atol=tolerance)


@pytest.mark.parametrize("activation", [None, gelu])
def test_dense_is_that_of_keras(activation: Any) -> None:
    ours, expected = TokenDense(6, activation), keras.layers.Dense(6, activation)
    for layer in (ours, expected):
        layer.build(SHAPE)
        layer.set_weights([values(8, 6, seed=1), values(6, seed=2)])
    for x in (values(*SHAPE), values(0, 5, 8)):
        np.testing.assert_allclose(ours(x), expected(x), atol=2e-6)


class TestByteDropout:
    @pytest.fixture
    def ones(self) -> np.ndarray:
        return np.ones((7, 11, 1301), np.float32)

    def test_values_are_dropped_or_scaled(self, ones: np.ndarray) -> None:
        dropped = 26  # of 256
        outputs = np.asarray(ByteDropout(0.1, seed=1)(ones, training=True))
        assert set(np.unique(outputs)) <= {0.0, np.float32(256 / (256 - dropped)), np.float32(1 / 0.9)}
        # Four standard deviations of a fraction of 100,177 values.
        assert np.mean(outputs == 0) == pytest.approx(dropped / 256, abs=0.004)
        assert outputs.mean() == pytest.approx(1.0, abs=0.005)

    def test_every_byte_of_a_word_drops_as_many(self, ones: np.ndarray) -> None:
        dropped = (np.asarray(ByteDropout(0.5, seed=1)(ones, training=True)) == 0).ravel()
        for byte in range(4):
            assert dropped[byte::4].mean() == pytest.approx(0.5, abs=0.013)
        assert np.corrcoef(dropped[:-1], dropped[1:])[0, 1] == pytest.approx(0.0, abs=0.013)

    def test_each_call_draws_anew_and_a_seed_repeats_them(self, ones: np.ndarray) -> None:
        first, again = ByteDropout(0.3, seed=4), ByteDropout(0.3, seed=4)
        calls = [np.asarray(layer(ones, training=True)) for layer in (first, first, again, again)]
        assert (calls[0] != calls[1]).any()
        np.testing.assert_array_equal(calls[0], calls[2])
        np.testing.assert_array_equal(calls[1], calls[3])

    @pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.4, False)])
    def test_nothing_is_dropped(self, rate: float, training: bool, ones: np.ndarray) -> None:
        np.testing.assert_array_equal(ByteDropout(rate)(ones, training=training), ones)

    def test_small_rates_are_not_rounded(self, ones: np.ndarray) -> None:
        outputs = np.asarray(ByteDropout(0.004, seed=1)(ones, training=True))
        assert outputs.max() == pytest.approx(1 / 0.996)

    def test_the_gradient_has_the_mask_of_the_outputs(self, gradients: Gradients) -> None:
        x, outputs = values(40, 50), []

        def loss(x: Any) -> Any:
            outputs.append(ByteDropout(0.5, seed=2)(x, training=True))
            return ops.sum(outputs[0])

        (gradient,) = gradients(loss, x)
        expected = np.asarray(ByteDropout(0.5, seed=2)(x, training=True))
        np.testing.assert_allclose(gradient, expected / x, rtol=1e-5)


@pytest.mark.parametrize("layer", [TokenDense(3, gelu), TokenDense(3, gelu_tanh), LayerNorm(), ByteDropout(0.2)])
def test_saved_and_read_back(layer: keras.layers.Layer) -> None:
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(restored) is type(layer) and restored.get_config() == layer.get_config()


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16"])
def test_other_policies(dtype: str) -> None:
    if keras.backend.backend() == "jax" and dtype == "float64":
        pytest.skip("JAX has no float64 unless it is enabled")
    layer = LayerNorm(dtype=dtype)
    layer.build(SHAPE)
    x = values(*SHAPE).astype("float64")
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    outputs = layer(ops.cast(x, layer.compute_dtype))
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    np.testing.assert_allclose(ops.cast(outputs, "float32"), expected, atol=1e-6 if dtype == "float64" else 5e-3)


def test_no_examples() -> None:
    nothing = np.zeros((0, 5, 8), np.float32)
    for layer in (LayerNorm(), ByteDropout(0.2), TokenDense(4)):
        assert layer(nothing, **({"training": True} if isinstance(layer, ByteDropout) else {})).shape[0] == 0
