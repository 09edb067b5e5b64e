"""Multi-head self-attention with a choice of similarity."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.model.fast_layers import ByteDropout, TokenDense
from power_bert.model.similarity import SIMILARITIES, SMALLEST_SCALE

Tensor = Any
# Added to the attention scores of masked keys: their weight after the softmax is exactly zero.
HIDDEN_KEY_BIAS = -1e9


class AtLeast(keras.constraints.Constraint):
    """Constraint that keeps a learned scale at or above `minimum` after every training step."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def __call__(self, value: Tensor) -> Tensor:
        return ops.maximum(value, self.minimum)

    def get_config(self) -> dict[str, Any]:
        return {"minimum": self.minimum}


@keras.saving.register_keras_serializable(package="power_bert")
class SimilarityAttention(keras.layers.Layer):
    """Multi-head self-attention that differs from BERT's in its similarity and in returning its probabilities.

    Args:
        num_heads: Number of attention heads.
        similarity: Score function: "dot", "cosine", "euclidean" or "gaussian" (`power_bert.model.similarity`).
        dropout: Dropout rate of the attention probabilities.
        initializer_range: Standard deviation of the kernel initialization.
        head_dim: Dimension of each head; by default the hidden dimension divided by `num_heads`, which must divide it.
    """

    def __init__(
        self,
        num_heads: int,
        similarity: str = "dot",
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        head_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.similarity = num_heads, similarity
        self.head_dim: Any = head_dim  # an integer once built
        self.dropout_rate, self.initializer_range = dropout, initializer_range

    def build(self, hidden_states_shape: tuple[int | None, ...], key_bias_shape: Any = None) -> None:
        hidden_dim = hidden_states_shape[-1]
        if self.head_dim is None:
            if hidden_dim is None or hidden_dim % self.num_heads:
                raise ValueError(f"hidden dimension {hidden_dim} is not a multiple of {self.num_heads} heads")
            self.head_dim = hidden_dim // self.num_heads
        width = self.num_heads * self.head_dim
        self.query, self.key, self.value = (self._dense(name, hidden_dim, width) for name in ("query", "key", "value"))
        self.output_projection = self._dense("output", width, hidden_dim)
        self.dropout = ByteDropout(self.dropout_rate, dtype=self.dtype_policy, name="dropout")
        initial_scale = SIMILARITIES[self.similarity].initial_scale
        self.scale = None
        if initial_scale is not None:
            start = keras.initializers.Constant(initial_scale(self.head_dim))
            self.scale = self.add_weight(
                shape=(self.num_heads,), initializer=start, constraint=AtLeast(SMALLEST_SCALE), name="similarity_scale"
            )
        self.built = True

    def _dense(self, name: str, inputs: int | None, outputs: int | None) -> TokenDense:
        layer = TokenDense(
            outputs,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, inputs))
        return layer

    def call(
        self,
        hidden_states: Tensor,
        key_bias: Tensor,
        queries: Tensor | None = None,
        head_gates: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute attention outputs and probabilities.

        Args:
            hidden_states: Hidden states, (batch, length, hidden).
            key_bias: Bias added to the scores of each key, (batch, length): 0 for a visible token,
                `HIDDEN_KEY_BIAS` for padding, log r for a token that soft extraction fades.
            queries: Hidden states of the tokens that attend, (batch, query, hidden); all of them by default.
            head_gates: Factor on the output of each head, (heads,) or (batch, heads).
            training: Whether dropout is active.

        Returns:
            Output (batch, query, hidden) and probabilities before dropout (batch, heads, query, key).
        """
        queries = hidden_states if queries is None else queries

        def split_heads(x: Tensor) -> Tensor:
            batch, length, _ = ops.shape(x)
            x = ops.reshape(x, (batch, length, self.num_heads, self.head_dim))
            return ops.transpose(x, (0, 2, 1, 3))  # (batch, heads, length, head_dim)

        query = split_heads(self.query(queries))  # (batch, heads, query, head_dim)
        key, value = (split_heads(project(hidden_states)) for project in (self.key, self.value))
        scores = SIMILARITIES[self.similarity].scores(query, key, self.scale)  # (batch, heads, query, key)
        scores = scores + ops.cast(key_bias, scores.dtype)[:, None, None, :]
        probabilities = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        context = ops.matmul(self.dropout(probabilities, training=training), value)  # (batch, heads, query, head_dim)
        if head_gates is not None:
            context = context * ops.reshape(ops.cast(head_gates, context.dtype), (-1, self.num_heads, 1, 1))
        batch, query_length, _ = ops.shape(queries)
        context = ops.transpose(context, (0, 2, 1, 3))  # (batch, query, heads, head_dim)
        context = ops.reshape(context, (batch, query_length, self.num_heads * self.head_dim))
        return self.output_projection(context), probabilities

    def compute_output_spec(
        self, hidden_states: Any, key_bias: Any, queries: Any = None, head_gates: Any = None, training: Any = None
    ) -> Any:
        queries = hidden_states if queries is None else queries
        batch, length, _ = hidden_states.shape
        return (
            keras.KerasTensor(queries.shape, self.compute_dtype),
            keras.KerasTensor((batch, self.num_heads, queries.shape[1], length), self.compute_dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "similarity": self.similarity,
            "dropout": self.dropout_rate,
            "initializer_range": self.initializer_range,
            "head_dim": self.head_dim,
        }
