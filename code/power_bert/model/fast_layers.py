"""Subclasses of Keras' layers with the same weights, for the hidden states of tokens; faster on CPUs.

* `TokenDense` multiplies matrices, not tensors of three axes: TensorFlow then adds the bias, and in inference computes
  GELU, within the matrix product.
* `gelu` and `LayerNorm` have hand-written gradients, which take fewer passes over memory than those of their
  operations.
* `ByteDropout` draws a byte for each value, not a float32.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

Tensor = Any
_BYTE = 256
# Below this threshold, rounding would change the dropout rate by more than an eighth.
_SMALLEST_THRESHOLD = 4


@keras.saving.register_keras_serializable(package="power_bert")
class TokenDense(keras.layers.Dense):
    """Dense layer on the hidden states of tokens, (batch, length, inputs) → (batch, length, units)."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        leading = ops.shape(inputs)[:-1]
        outputs = super().call(ops.reshape(inputs, (-1, self.kernel.shape[0])), training=training)
        return ops.reshape(outputs, (*leading, self.units))


@keras.saving.register_keras_serializable(package="power_bert")
def gelu(x: Tensor) -> Tensor:
    """Compute the exact GELU, x · Φ(x) (Hendrycks and Gimpel 2016, section 2)."""
    return _gelu(x)


@ops.custom_gradient
def _gelu(x: Tensor) -> Tensor:
    # TensorFlow recognizes this form of Φ(x), and fuses it.
    below = 0.5 * (1.0 + ops.erf(x * math.sqrt(0.5)))

    def gradient(*arguments: Tensor, upstream: Tensor = None) -> Tensor:
        (upstream,) = arguments or (upstream,)
        density = ops.exp(-0.5 * ops.square(x)) * (1.0 / math.sqrt(2.0 * math.pi))
        return upstream * (below + x * density)

    return below * x, gradient


@keras.saving.register_keras_serializable(package="power_bert")
def gelu_tanh(x: Tensor) -> Tensor:
    """Compute the tanh approximation of GELU (Hendrycks and Gimpel 2016, section 2)."""
    return ops.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="power_bert")
class LayerNorm(keras.layers.LayerNormalization):
    """Layer normalization over the last axis, with scale and offset; computes in float32 if the policy is narrower."""

    def call(self, inputs: Tensor) -> Tensor:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        inputs, gamma, beta = (ops.cast(each, dtype) for each in (inputs, self.gamma, self.beta))
        return ops.cast(_normalize(inputs, gamma, beta, self.epsilon), self.compute_dtype)


def _normalize(inputs: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    def mean(x: Tensor) -> Tensor:
        return ops.mean(x, axis=-1, keepdims=True)

    @ops.custom_gradient
    def normalize(inputs: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        centered = inputs - mean(inputs)
        inverse = ops.rsqrt(mean(ops.square(centered)) + epsilon)  # (…, 1)
        normalized = centered * inverse

        def gradient(*arguments: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor, Tensor]:
            (upstream,) = arguments or (upstream,)
            leading = tuple(range(len(upstream.shape) - 1))
            scaled = upstream * gamma
            by_inputs = (scaled - mean(scaled) - normalized * mean(scaled * normalized)) * inverse
            return by_inputs, ops.sum(upstream * normalized, axis=leading), ops.sum(upstream, axis=leading)

        return normalized * gamma + beta, gradient

    return normalize(inputs, gamma, beta)


@keras.saving.register_keras_serializable(package="power_bert")
class ByteDropout(keras.layers.Dropout):
    """Dropout whose rate is rounded to a multiple of 1/256.

    For rates that are nearly 0 or 1, and on other backends than TensorFlow, Keras draws the mask.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        threshold = round(self.rate * _BYTE)
        is_rounded = _SMALLEST_THRESHOLD <= threshold < _BYTE and keras.backend.backend() == "tensorflow"
        if not training or not is_rounded:
            return super().call(inputs, training=training)
        import tensorflow as tf

        count = tf.size(inputs)
        seed = tf.cast(self.seed_generator.next(), tf.int64)  # (2,)
        words = tf.random.stateless_uniform([(count + 3) // 4], seed, minval=None, maxval=None, dtype=tf.int32)
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]
        is_kept = tf.reshape(drawn >= tf.constant(threshold, tf.uint8), tf.shape(inputs))
        return inputs * (tf.cast(is_kept, inputs.dtype) * (_BYTE / (_BYTE - threshold)))
