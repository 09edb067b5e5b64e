"""One encoder block: similarity attention, significance, extraction, feed-forward."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from power_bert.elimination.extraction import HardExtraction
from power_bert.elimination.search import SoftExtraction
from power_bert.elimination.significance import significance
from power_bert.model.attention import HIDDEN_KEY_BIAS, SimilarityAttention
from power_bert.model.fast_layers import ByteDropout, LayerNorm, TokenDense, gelu, gelu_tanh

Tensor = Any
_SMALLEST_VISIBILITY = 1e-6


def activation_function(name: str) -> Any:
    """Look up an activation by name: "gelu" is the exact GELU, "gelu_tanh" its tanh approximation, else Keras'."""
    return {"gelu": gelu, "gelu_tanh": gelu_tanh}.get(name) or keras.activations.get(name)


def key_bias_of(visibility: Tensor, fades: bool) -> Tensor:
    """Compute the bias on the attention scores of each key from its visibility.

    If soft extraction fades tokens the bias is log v, so that attention to a key is multiplied by v. Otherwise
    visibility is 0 or 1, and no logarithm is needed.

    Args:
        visibility: Visibility v of each key in [0, 1], (batch, length).
        fades: Whether visibility takes values between 0 and 1.

    Returns:
        Bias, (batch, length).
    """
    if not fades:
        return ops.where(visibility > 0, ops.zeros_like(visibility), HIDDEN_KEY_BIAS)
    faded = ops.log(ops.maximum(visibility, _SMALLEST_VISIBILITY))
    return ops.where(visibility > _SMALLEST_VISIBILITY, faded, HIDDEN_KEY_BIAS * ops.ones_like(faded))


class UnitGates(NamedTuple):
    """Factors on the outputs of the units of a block: 0 removes one.

    Attributes:
        heads: Factor of each attention head, (heads,) or (batch, heads).
        neurons: Factor of each feed-forward neuron, (neurons,) or (batch, neurons).
    """

    heads: Tensor
    neurons: Tensor


@keras.saving.register_keras_serializable(package="power_bert")
class EncoderBlock(keras.layers.Layer):
    """Encoder block that differs from BERT's in the extraction between its first layer norm and its feed-forward layer.

    Args:
        num_heads: Number of attention heads.
        intermediate_dim: Inner dimension of the feed-forward layer.
        activation: Activation of the feed-forward layer, a name of `activation_function`.
        dropout: Dropout rate after attention and after the feed-forward layer.
        attention_dropout: Dropout rate of the attention probabilities.
        layer_norm_epsilon: Constant added to the variance of both layer normalizations.
        similarity: Attention similarity, a name of `power_bert.model.similarity.SIMILARITIES`.
        initializer_range: Standard deviation of the kernel initialization.
        extraction: Extraction layer, `SoftExtraction` or `HardExtraction`; None keeps all tokens.
        fades: Whether an earlier block may fade tokens (soft extraction with the visibility gate).
        head_dim: Dimension of each attention head; by default the hidden dimension divided by `num_heads`.
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
        head_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.intermediate_dim, self.activation = num_heads, intermediate_dim, activation
        self.dropout_rate, self.attention_dropout = dropout, attention_dropout
        self.layer_norm_epsilon, self.similarity = layer_norm_epsilon, similarity
        self.initializer_range, self.extraction, self.fades = initializer_range, extraction, fades
        self.head_dim = head_dim

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
            self.head_dim,
            dtype=dtype,
            name="attention",
        )
        self.attention.build(hidden_states_shape)
        self.attention_norm = LayerNorm(epsilon=self.layer_norm_epsilon, dtype=dtype, name="attention_norm")
        self.intermediate = TokenDense(
            self.intermediate_dim,
            activation_function(self.activation),
            kernel_initializer=initializer,
            dtype=dtype,
            name="intermediate",
        )
        self.output_projection = TokenDense(hidden_dim, kernel_initializer=initializer, dtype=dtype, name="output")
        self.output_norm = LayerNorm(epsilon=self.layer_norm_epsilon, dtype=dtype, name="output_norm")
        self.dropout = ByteDropout(self.dropout_rate, dtype=dtype, name="dropout")
        for layer in (self.attention_norm, self.intermediate, self.output_norm):
            layer.build(hidden_states_shape)
        self.output_projection.build((*hidden_states_shape[:-1], self.intermediate_dim))
        if self.extraction is not None and not self.extraction.built:  # a loaded configuration has built it
            self.extraction.build(hidden_states_shape)
        self.built = True

    def call(
        self,
        hidden_states: Tensor,
        visibility: Tensor,
        padding_mask: Tensor,
        cls_alone: bool = False,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode hidden states.

        Args:
            hidden_states: Hidden states, (batch, length, hidden).
            visibility: How far each token can be attended to, (batch, length): 1, or 0 for padding.
            padding_mask: Padding mask of the whole input, int32 (batch, original length).
            cls_alone: Whether only ``[CLS]`` is encoded, exactly as with all tokens, and returned.
            training: Whether dropout is active.

        Returns:
            Hidden states (batch, kept, hidden) and visibility (batch, kept).
        """
        hidden_states, visibility, _ = self.encode(
            hidden_states, visibility, padding_mask, cls_alone, training=training
        )
        return hidden_states, visibility

    def encode(
        self,
        hidden_states: Tensor,
        visibility: Tensor,
        padding_mask: Tensor,
        cls_alone: bool = False,
        gates: UnitGates | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode hidden states as `call` does, and also return the attention probabilities.

        Args:
            hidden_states: Hidden states, (batch, length, hidden).
            visibility: How far each token can be attended to, (batch, length).
            padding_mask: Padding mask of the whole input, int32 (batch, original length).
            cls_alone: Whether only ``[CLS]`` is encoded.
            gates: Factors on the outputs of heads and neurons; None for 1.
            training: Whether dropout is active.

        Returns:
            Hidden states (batch, kept, hidden), visibility (batch, kept) and attention probabilities (batch, heads,
            query, key).
        """
        hidden_states, visibility, probabilities = self.attend(
            hidden_states, visibility, padding_mask, cls_alone, None if gates is None else gates.heads, training
        )
        hidden_states = self.feed_forward(hidden_states, None if gates is None else gates.neurons, training)
        return hidden_states, visibility, probabilities

    def attend(
        self,
        hidden_states: Tensor,
        visibility: Tensor,
        padding_mask: Tensor,
        cls_alone: bool = False,
        head_gates: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the first half of `encode`: attention, its layer norm, and extraction."""
        key_bias = key_bias_of(visibility, self.fades)
        cls_alone = cls_alone or (isinstance(self.extraction, HardExtraction) and self.extraction.keeps_cls_alone)
        queries = hidden_states[:, :1] if cls_alone else hidden_states  # (batch, query, hidden)
        # (batch, query, hidden) and (batch, heads, query, key)
        attended, probabilities = self.attention(hidden_states, key_bias, queries, head_gates, training=training)
        hidden_states = self.attention_norm(queries + self.dropout(attended, training=training))
        if cls_alone:
            visibility = visibility[:, :1]
        elif self.extraction is not None:
            scores = significance(probabilities, visibility)  # (batch, length)
            # (batch, kept, hidden) and (batch, kept)
            hidden_states, visibility = self.extraction(hidden_states, visibility, scores, padding_mask)
        return hidden_states, visibility, probabilities

    def feed_forward(
        self, hidden_states: Tensor, neuron_gates: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Compute the second half of `encode`: the feed-forward layer and its layer norm, (batch, kept, hidden)."""
        transformed = self.intermediate(hidden_states)  # (batch, kept, intermediate)
        if neuron_gates is not None:
            gates = ops.cast(neuron_gates, transformed.dtype)
            transformed = transformed * ops.reshape(gates, (-1, 1, self.intermediate_dim))
        transformed = self.dropout(self.output_projection(transformed), training=training)  # (batch, kept, hidden)
        return self.output_norm(hidden_states + transformed)

    def compute_output_spec(
        self, hidden_states: Any, visibility: Any, padding_mask: Any, cls_alone: bool = False, training: Any = None
    ) -> Any:
        hidden_states = keras.KerasTensor(hidden_states.shape, self.compute_dtype)
        if cls_alone:
            batch, _, hidden_dim = hidden_states.shape
            return (
                keras.KerasTensor((batch, 1, hidden_dim), self.compute_dtype),
                keras.KerasTensor((batch, 1), visibility.dtype),
            )
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
            "head_dim": self.head_dim,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EncoderBlock:
        extraction = keras.saving.deserialize_keras_object(config["extraction"])
        return cls(**{**config, "extraction": extraction})
