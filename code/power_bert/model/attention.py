"""Multi-head self-attention with a choice of similarity."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.model.similarity import SIMILARITIES, SMALLEST_SCALE

Tensor = Any
# Added to the scores of keys that cannot be seen: their weight after the softmax is exactly zero.
HIDDEN_KEY_BIAS = -1e9


class AtLeast(keras.constraints.Constraint):
    """Keeps a learned scale at or above `minimum` after every update."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def __call__(self, value: Tensor) -> Tensor:
        return ops.maximum(value, self.minimum)

    def get_config(self) -> dict[str, Any]:
        return {"minimum": self.minimum}


@keras.saving.register_keras_serializable(package="power_bert")
class SimilarityAttention(keras.layers.Layer):
    """Multi-head self-attention; differs from BERT's in the similarity and in returning its probabilities.

    Args:
        num_heads: number of heads; divides the hidden dimension.
        similarity: "dot", "cosine", "euclidean" or "gaussian" (`power_bert.model.similarity`).
        dropout: rate on the attention probabilities.
        initializer_range: standard deviation of the initial kernels.
    """

    def __init__(
        self,
        num_heads: int,
        similarity: str = "dot",
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.similarity = num_heads, similarity
        self.dropout_rate, self.initializer_range = dropout, initializer_range

    def build(self, hidden_states_shape: tuple[int | None, ...], key_bias_shape: Any = None) -> None:
        hidden_dim = hidden_states_shape[-1]
        if hidden_dim is None or hidden_dim % self.num_heads:
            raise ValueError(f"hidden dimension {hidden_dim} is not a multiple of {self.num_heads} heads")
        self.head_dim = hidden_dim // self.num_heads
        self.query, self.key, self.value, self.output_projection = (
            self._dense(name, hidden_states_shape) for name in ("query", "key", "value", "output")
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy, name="dropout")
        initial_scale = SIMILARITIES[self.similarity].initial_scale
        self.scale = None
        if initial_scale is not None:
            start = keras.initializers.Constant(initial_scale(self.head_dim))
            self.scale = self.add_weight(
                shape=(self.num_heads,), initializer=start, constraint=AtLeast(SMALLEST_SCALE), name="similarity_scale"
            )
        self.built = True

    def _dense(self, name: str, input_shape: tuple[int | None, ...]) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            input_shape[-1],
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(input_shape)
        return layer

    def call(self, hidden_states: Tensor, key_bias: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            hidden_states: (batch, length, hidden).
            key_bias: added to the scores of each key, (batch, length): 0 for a visible word,
                `HIDDEN_KEY_BIAS` for padding, log r for a word that soft extraction fades.

        Returns:
            output (batch, length, hidden) and probabilities before dropout (batch, heads, query, key).
        """
        batch, length, hidden_dim = ops.shape(hidden_states)

        def split_heads(x: Tensor) -> Tensor:
            x = ops.reshape(x, (batch, length, self.num_heads, self.head_dim))
            return ops.transpose(x, (0, 2, 1, 3))

        query, key, value = (split_heads(project(hidden_states)) for project in (self.query, self.key, self.value))
        scores = SIMILARITIES[self.similarity].scores(query, key, self.scale)
        scores = scores + ops.cast(key_bias, scores.dtype)[:, None, None, :]
        probabilities = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        context = ops.matmul(self.dropout(probabilities, training=training), value)
        context = ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, hidden_dim))
        return self.output_projection(context), probabilities

    def compute_output_spec(self, hidden_states: Any, key_bias: Any, training: Any = None) -> Any:
        batch, length, _ = hidden_states.shape
        return (
            keras.KerasTensor(hidden_states.shape, self.compute_dtype),
            keras.KerasTensor((batch, self.num_heads, length, length), self.compute_dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "similarity": self.similarity,
            "dropout": self.dropout_rate,
            "initializer_range": self.initializer_range,
        }
