"""Masked language modeling on a PoWER-BERT encoder, as a keras-hub task."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
from keras import ops

from power_bert.elimination.extraction import gather_words
from power_bert.model.backbone import BertEmbeddings, PowerBertBackbone
from power_bert.model.encoder_block import activation_function
from power_bert.model.fast_layers import LayerNorm, TokenDense
from power_bert.model.preset import TaskPreset

Tensor = Any


@keras.saving.register_keras_serializable(package="power_bert")
class MaskedLMHead(keras.layers.Layer):
    """BERT's masked language modeling head: dense, activation, layer norm, then the product with the token embeddings.

    Only the hidden states at the masked positions go through it. With 15 % of the tokens masked, the product with the
    vocabulary, which is most of a small model's FLOPs, costs a seventh (Devlin et al. 2019).

    Args:
        embeddings: Embeddings whose token table is also the output projection.
        activation: Activation after the dense layer, a name of `activation_function`.
        layer_norm_epsilon: Constant added to the variance of the layer normalization.
        initializer_range: Standard deviation of the kernel initialization.
    """

    def __init__(
        self,
        embeddings: BertEmbeddings,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.embeddings, self.activation = embeddings, activation
        self.layer_norm_epsilon, self.initializer_range = layer_norm_epsilon, initializer_range

    def build(self, hidden_states_shape: tuple[int | None, ...], positions_shape: Any = None) -> None:
        self.transform = TokenDense(
            hidden_states_shape[-1],
            activation_function(self.activation),
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            dtype=self.dtype_policy,
            name="transform",
        )
        self.norm = LayerNorm(epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name="norm")
        for layer in (self.transform, self.norm):
            layer.build(hidden_states_shape)
        self.bias = self.add_weight(
            shape=(self.embeddings.vocabulary_size,), initializer="zeros", autocast=False, name="bias"
        )
        self.built = True

    @property
    def canonical_variables(self) -> dict[str, keras.Variable]:
        """Variables of the head under the names of `power_bert.model.checkpoints.masked_lm_head`."""
        return {
            "transform/kernel": self.transform.kernel,
            "transform/bias": self.transform.bias,
            "norm/gamma": self.norm.gamma,
            "norm/beta": self.norm.beta,
            "bias": self.bias,
        }

    def call(self, hidden_states: Tensor, positions: Tensor) -> Tensor:
        """Predict the tokens at the given positions.

        Args:
            hidden_states: Hidden states, (batch, length, hidden).
            positions: Positions to predict, int32 (batch, predictions).

        Returns:
            Logits, float32 (batch, predictions, vocabulary).
        """
        selected = gather_words(hidden_states, positions)  # (batch, predictions, hidden)
        transformed = self.norm(self.transform(selected))
        table = ops.cast(self.embeddings.token, self.compute_dtype)
        logits = ops.matmul(transformed, ops.transpose(table))  # (batch, predictions, vocabulary)
        return ops.cast(logits, "float32") + self.bias

    def compute_output_spec(self, hidden_states: Any, positions: Any) -> Any:
        return keras.KerasTensor((*positions.shape, self.embeddings.vocabulary_size), "float32")


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertMaskedLM(TaskPreset, keras_hub.models.MaskedLM):
    """Masked language model on a `PowerBertBackbone`.

    Inputs: those of the backbone and ``mask_positions``, int32 (batch, predictions). Output: logits, float32 (batch,
    predictions, vocabulary).

    Args:
        backbone: Encoder without extraction, because eliminated tokens cannot be predicted.
        preprocessor: Preprocessor saved with the model; None if only arrays are fed.

    Raises:
        ValueError: The backbone eliminates tokens.
    """

    backbone_cls = PowerBertBackbone

    def __init__(self, backbone: PowerBertBackbone, preprocessor: Any = None, **kwargs: Any) -> None:
        if backbone.extraction is not None:
            raise ValueError("masked language modeling needs all tokens: expected a backbone without extraction")
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.head = MaskedLMHead(
            backbone.embeddings,
            backbone.activation,
            backbone.layer_norm_epsilon,
            backbone.initializer_range,
            dtype=backbone.dtype_policy,
            name="masked_lm_head",
        )
        # === Functional Model ===
        inputs = {**backbone.input, "mask_positions": keras.Input((None,), dtype="int32", name="mask_positions")}
        outputs = self.head(backbone(backbone.input)["sequence_output"], inputs["mask_positions"])
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
