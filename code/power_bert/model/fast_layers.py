"""Layers that compute what Keras' compute, faster on CPUs.

They have the weights and arguments of Keras'. What is faster:

* `TokenDense` multiplies matrices, not tensors of three axes: TensorFlow then adds the bias, and in inference computes
  GELU, within the matrix product.
* `gelu` and `LayerNorm` state their gradients, which take fewer passes over memory than the derivatives of their
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


class TokenDense(keras.layers.Dense):
    """Dense layer on the hidden states of tokens, (batch, length, inputs) → (batch, length, units)."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        leading = ops.shape(inputs)[:-1]
        outputs = super().call(ops.reshape(inputs, (-1, self.kernel.shape[0])), training=training)
        return ops.reshape(outputs, (*leading, self.units))


def gelu(x: Tensor) -> Tensor:
    """Compute the exact GELU, x · Φ(x) (Hendrycks and Gimpel 2016, section 2)."""
    return _gelu(x)


@ops.custom_gradient
def _gelu(x: Tensor) -> Tensor:
    below = 0.5 * (1.0 + ops.erf(x * math.sqrt(0.5)))  # Φ(x)

    def gradient(*arguments: Tensor, upstream: Tensor = None) -> Tensor:
        (upstream,) = arguments or (upstream,)
        density = ops.exp(-0.5 * ops.square(x)) * (1.0 / math.sqrt(2.0 * math.pi))
        return upstream * (below + x * density)

    return below * x, gradient


class LayerNorm(keras.layers.LayerNormalization):
    """Layer normalization over the last axis, (batch, length, hidden), in float32."""

    def call(self, inputs: Tensor) -> Tensor:
        shape = ops.shape(inputs)
        rows = ops.cast(ops.reshape(inputs, (-1, shape[-1])), "float32")
        gamma, beta = (ops.cast(weight, "float32") for weight in (self.gamma, self.beta))
        outputs = _normalize(rows, gamma, beta, self.epsilon)
        return ops.cast(ops.reshape(outputs, shape), self.compute_dtype)


def _normalize(rows: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    """Normalize each row of (rows, hidden)."""
    mean = ops.full((rows.shape[-1], 1), 1.0 / rows.shape[-1])  # a product with it is faster than a reduction

    @ops.custom_gradient
    def normalize(rows: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        centered = rows - ops.matmul(rows, mean)
        inverse = ops.rsqrt(ops.matmul(ops.square(centered), mean) + epsilon)  # (rows, 1)
        normalized = centered * inverse

        def gradient(*arguments: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor, Tensor]:
            (upstream,) = arguments or (upstream,)
            weighted = upstream * normalized
            ones = ops.ones((1, ops.shape(upstream)[0]))
            weights = ops.expand_dims(gamma, 1) * mean  # (hidden, 1)
            by_rows = upstream * gamma - ops.matmul(upstream, weights) - normalized * ops.matmul(weighted, weights)
            return by_rows * inverse, ops.matmul(ones, weighted)[0], ops.matmul(ones, upstream)[0]

        return normalized * gamma + beta, gradient

    return normalize(rows, gamma, beta)


class ByteDropout(keras.layers.Dropout):
    """Dropout whose rate is rounded to a multiple of 1/256; a rate below 1/64 and other backends are left to Keras."""

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        dropped = round(self.rate * _BYTE)
        if not training or not 4 <= dropped < _BYTE or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training)
        import tensorflow as tf

        count = tf.size(inputs)
        seed = tf.cast(self.seed_generator.next(), tf.int64)  # (2,)
        words = tf.random.stateless_uniform([(count + 3) // 4], seed, None, None, tf.int32)
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]
        is_kept = tf.reshape(drawn >= tf.constant(dropped, tf.uint8), tf.shape(inputs))
        return inputs * (tf.cast(is_kept, inputs.dtype) * (_BYTE / (_BYTE - dropped)))
