"""One encoder block: similarity attention, significance, extraction, feed-forward."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from keras import ops

from power_bert.model.attention import HIDDEN_KEY_BIAS, SimilarityAttention
from power_bert.model.extraction import HardExtraction, SoftExtraction
from power_bert.model.significance import significance

Tensor = Any
_SMALLEST_VISIBILITY = 1e-6


def activation_function(name: str) -> Any:
    """Keras activation of that name; "gelu" is the exact GELU, "gelu_tanh" its tanh approximation."""
    if name in ("gelu", "gelu_tanh"):
        return partial(ops.gelu, approximate=name == "gelu_tanh")
    return keras.activations.get(name)


def key_bias_of(visibility: Tensor, fades: bool) -> Tensor:
    """Bias on the attention scores of each key, (batch, length), from its visibility in [0, 1].

    log v where soft extraction fades words (`fades`), so that attention to a key is multiplied by v;
    without fading visibility is 0 or 1 and no logarithm is needed.
    """
    if not fades:
        return ops.where(visibility > 0, ops.zeros_like(visibility), HIDDEN_KEY_BIAS)
    faded = ops.log(ops.maximum(visibility, _SMALLEST_VISIBILITY))
    return ops.where(visibility > _SMALLEST_VISIBILITY, faded, HIDDEN_KEY_BIAS * ops.ones_like(faded))


@keras.saving.register_keras_serializable(package="power_bert")
class EncoderBlock(keras.layers.Layer):
    """Differs from BERT's encoder block in the extraction between the attention's layer norm and the feed-forward.

    Args:
        num_heads: attention heads.
        intermediate_dim: width of the feed-forward layer.
        activation: of the feed-forward layer, see `activation_function`.
        dropout: rate after attention and after the feed-forward.
        attention_dropout: rate on the attention probabilities.
        layer_norm_epsilon: added to the variance.
        similarity: see `SimilarityAttention`.
        extraction: None, a `SoftExtraction` or a `HardExtraction` layer.
        fades: whether an earlier block may fade words (soft extraction with the visibility gate).
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        activation: str = "gelu",
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-12,
        similarity: str = "dot",
        initializer_range: float = 0.02,
        extraction: SoftExtraction | HardExtraction | None = None,
        fades: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.intermediate_dim, self.activation = num_heads, intermediate_dim, activation
        self.dropout_rate, self.attention_dropout = dropout, attention_dropout
        self.layer_norm_epsilon, self.similarity = layer_norm_epsilon, similarity
        self.initializer_range, self.extraction, self.fades = initializer_range, extraction, fades

    def build(
        self, hidden_states_shape: tuple[int | None, ...], visibility_shape: Any = None, padding_mask_shape: Any = None
    ) -> None:
        dtype, hidden_dim = self.dtype_policy, hidden_states_shape[-1]
        initializer = keras.initializers.TruncatedNormal(stddev=self.initializer_range)
        self.attention = SimilarityAttention(
            self.num_heads,
            self.similarity,
            self.attention_dropout,
            self.initializer_range,
            dtype=dtype,
            name="attention",
        )
        self.attention.build(hidden_states_shape)
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=dtype, name="attention_norm"
        )
        self.intermediate = keras.layers.Dense(
            self.intermediate_dim, kernel_initializer=initializer, dtype=dtype, name="intermediate"
        )
        self.output_projection = keras.layers.Dense(
            hidden_dim, kernel_initializer=initializer, dtype=dtype, name="output"
        )
        self.output_norm = keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=dtype, name="output_norm"
        )
        self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=dtype, name="dropout")
        for layer in (self.attention_norm, self.intermediate, self.output_norm):
            layer.build(hidden_states_shape)
        self.output_projection.build((*hidden_states_shape[:-1], self.intermediate_dim))
        if self.extraction is not None:
            self.extraction.build(hidden_states_shape)
        self.built = True

    def call(
        self, hidden_states: Tensor, visibility: Tensor, padding_mask: Tensor, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode.

        Args:
            hidden_states: (batch, length, hidden).
            visibility: how far each word-vector can be attended to, (batch, length): 1, 0 for padding.
            padding_mask: of the whole input, int32 (batch, original length).

        Returns:
            hidden states (batch, kept, hidden) and visibility (batch, kept).
        """
        hidden_states, visibility, _ = self.encode(hidden_states, visibility, padding_mask, training)
        return hidden_states, visibility

    def encode(
        self, hidden_states: Tensor, visibility: Tensor, padding_mask: Tensor, training: bool | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `call`, with the attention probabilities (batch, heads, query, key) as third result."""
        key_bias = key_bias_of(visibility, self.fades)
        attended, probabilities = self.attention(hidden_states, key_bias, training=training)
        hidden_states = self.attention_norm(hidden_states + self.dropout(attended, training=training))
        if self.extraction is not None:
            scores = significance(probabilities, visibility)
            hidden_states, visibility = self.extraction(hidden_states, visibility, scores, padding_mask)
        transformed = activation_function(self.activation)(self.intermediate(hidden_states))
        transformed = self.dropout(self.output_projection(transformed), training=training)
        return self.output_norm(hidden_states + transformed), visibility, probabilities

    def compute_output_spec(self, hidden_states: Any, visibility: Any, padding_mask: Any, training: Any = None) -> Any:
        hidden_states = keras.KerasTensor(hidden_states.shape, self.compute_dtype)
        if self.extraction is None:
            return hidden_states, keras.KerasTensor(visibility.shape, visibility.dtype)
        return self.extraction.compute_output_spec(hidden_states, visibility, visibility, padding_mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "activation": self.activation,
            "dropout": self.dropout_rate,
            "attention_dropout": self.attention_dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "similarity": self.similarity,
            "initializer_range": self.initializer_range,
            "extraction": keras.saving.serialize_keras_object(self.extraction),
            "fades": self.fades,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EncoderBlock:
        extraction = keras.saving.deserialize_keras_object(config["extraction"])
        return cls(**{**config, "extraction": extraction})
