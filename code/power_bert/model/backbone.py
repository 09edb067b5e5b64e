"""The PoWER-BERT encoder as a keras-hub backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from power_bert.elimination.extraction import HardExtraction
from power_bert.elimination.flops import per_block
from power_bert.elimination.retention import UNITS, Retention
from power_bert.elimination.search import GATES, PROFILES, ConfigurationSearch, SoftExtraction
from power_bert.model.encoder_block import EncoderBlock
from power_bert.model.fast_layers import ByteDropout, LayerNorm
from power_bert.model.similarity import SIMILARITIES
from power_bert.model.text_backbone import TextBackbone, make_inputs

EXTRACTIONS = (None, "soft", "hard")


def _check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")


@keras.saving.register_keras_serializable(package="power_bert")
class BertEmbeddings(keras.layers.Layer):
    """Sum of token, position and segment embeddings, followed by layer normalization and dropout.

    Args:
        vocabulary_size: Rows of the token embedding table.
        hidden_dim: Dimension of the embeddings.
        max_sequence_length: Rows of the position embedding table.
        num_segments: Rows of the segment embedding table. With one row every token is in segment 0, whatever the input.
        dropout: Dropout rate of the sum.
        layer_norm_epsilon: Constant added to the variance of the layer normalization.
        initializer_range: Standard deviation of the table initialization.
    """

    def __init__(
        self,
        vocabulary_size: int,
        hidden_dim: int,
        max_sequence_length: int = 512,
        num_segments: int = 2,
        dropout: float = 0.1,
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size, self.hidden_dim = vocabulary_size, hidden_dim
        self.max_sequence_length, self.num_segments = max_sequence_length, num_segments
        self.dropout_rate, self.layer_norm_epsilon = dropout, layer_norm_epsilon
        self.initializer_range = initializer_range

    def build(self, token_ids_shape: Any, segment_ids_shape: Any = None) -> None:
        initializer = keras.initializers.TruncatedNormal(stddev=self.initializer_range)
        self.token, self.position, self.segment = (
            self.add_weight(shape=(rows, self.hidden_dim), initializer=initializer, name=name)
            for name, rows in (
                ("token", self.vocabulary_size),
                ("position", self.max_sequence_length),
                ("segment", self.num_segments),
            )
        )
        self.norm = LayerNorm(epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name="norm")
        self.norm.build((None, None, self.hidden_dim))
        self.dropout = ByteDropout(self.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.built = True

    def call(self, token_ids: Any, segment_ids: Any, training: bool | None = None) -> Any:
        """Embed tokens.

        Args:
            token_ids: Token ids, int32 (batch, length).
            segment_ids: Segment ids, int32 (batch, length).
            training: Whether dropout is active.

        Returns:
            Embeddings, (batch, length, hidden).
        """
        length = ops.shape(token_ids)[1]
        if self.num_segments == 1:
            segment_ids = ops.zeros_like(segment_ids)
        # (batch, length, hidden)
        embedded = ops.take(self.token, token_ids, axis=0) + ops.take(self.segment, segment_ids, axis=0)
        embedded = embedded + ops.convert_to_tensor(self.position)[:length]
        return self.dropout(self.norm(ops.cast(embedded, self.compute_dtype)), training=training)

    def compute_output_spec(self, token_ids: Any, segment_ids: Any, training: Any = None) -> Any:
        return keras.KerasTensor((*token_ids.shape, self.hidden_dim), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "max_sequence_length": self.max_sequence_length,
            "num_segments": self.num_segments,
            "dropout": self.dropout_rate,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        }


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertBackbone(TextBackbone):
    """BERT encoder with progressive token elimination (word-vector elimination in Goyal et al., ICML 2020).

    Differs from BERT in a choice of attention similarity and in the extraction inside every encoder block. With
    `similarity="dot"` and `extraction=None` it is BERT.

    Inputs, a dict of int32 (batch, length): ``token_ids``, ``segment_ids``, ``padding_mask``. Outputs, a dict:
    ``sequence_output`` (batch, kept, hidden) and ``pooled_output`` (batch, hidden). The outputs do not depend on the
    amount of padding in a batch.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        num_layers: Number of encoder blocks.
        num_heads: Number of attention heads, or one number per block.
        hidden_dim: Dimension of the hidden states.
        intermediate_dim: Number of feed-forward neurons, or one number per block.
        max_sequence_length: Largest sequence length that the position embeddings support, in tokens.
        num_segments: Number of segments (sentence A, sentence B).
        dropout: Dropout rate of the hidden states.
        attention_dropout: Dropout rate of the attention probabilities.
        activation: Feed-forward activation: "gelu" (exact), "gelu_tanh" or any Keras activation.
        layer_norm_epsilon: Constant added to the variance of each layer normalization.
        initializer_range: Standard deviation of the weight initialization.
        similarity: Attention similarity: "dot", "cosine", "euclidean" or "gaussian".
        extraction: Token elimination: None, "soft" (configuration search) or "hard" (shorter tensors).
        gate: Gate of soft extraction: "visibility" or "scale".
        retention: Retention configuration of hard extraction, or its values: integers count tokens, floats are
            fractions of the tokens of each example.
        retention_parameters: Retention parameters per block in soft extraction: the max length of the search.
        retention_unit: Unit of the retention configuration found by soft extraction: "fraction" or "tokens".
        retention_profile: Profile of soft extraction: "free", "step" or "threshold" (`SoftExtraction`).
        retention_jitter: Noise on the significance scores in hard extraction during training (`HardExtraction`).
        head_dim: Dimension of each attention head; by default `hidden_dim` divided by `num_heads`.
        fuse_dropped: Whether hard extraction fuses the tokens that a block drops into one, which joins the sequence. A
            block that keeps ``[CLS]`` alone and the last block, of which only ``[CLS]`` is read, fuse nothing.

    Example:
        >>> backbone = PowerBertBackbone(100, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16,
        ...                              extraction="hard", retention=(4, 1))
        >>> backbone.count_params()
        6200
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_heads: int | Sequence[int],
        hidden_dim: int,
        intermediate_dim: int | Sequence[int],
        max_sequence_length: int = 512,
        num_segments: int = 2,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        similarity: str = "dot",
        extraction: str | None = None,
        gate: str = "visibility",
        retention: Retention | Sequence[int | float] | None = None,
        retention_parameters: int | None = None,
        retention_unit: str = "fraction",
        retention_profile: str = "free",
        retention_jitter: float = 0.0,
        head_dim: int | None = None,
        fuse_dropped: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        _check_choice("similarity", similarity, tuple(SIMILARITIES))
        _check_choice("extraction", extraction, EXTRACTIONS)
        _check_choice("gate", gate, GATES)
        _check_choice("retention_unit", retention_unit, UNITS)
        _check_choice("retention_profile", retention_profile, PROFILES)
        heads, neurons = per_block(num_heads, num_layers), per_block(intermediate_dim, num_layers)
        if head_dim is None and (hidden_dim % heads[0] or len(set(heads)) > 1):
            raise ValueError(f"hidden_dim={hidden_dim} is not a multiple of num_heads={num_heads}: give head_dim")
        configuration = None if retention is None else Retention.of(retention)
        if extraction == "hard":
            if configuration is None:
                raise ValueError("extraction='hard' needs `retention`, one value per block")
            configuration.checked(num_layers, max_sequence_length)
        parameters = retention_parameters or max_sequence_length

        def make_extraction(block: int) -> SoftExtraction | HardExtraction | None:
            if extraction == "soft":
                return SoftExtraction(
                    parameters,
                    gate,
                    retention_unit,
                    retention_profile,
                    trainable=block < num_layers - 1,  # the last block keeps [CLS] alone
                    dtype=dtype,
                    name="extraction",
                )
            if extraction == "hard" and configuration is not None and not configuration.keeps_all(block):
                return HardExtraction(
                    configuration.values[block],
                    retention_jitter,
                    fuse=fuse_dropped and configuration.fuses(block) and block < num_layers - 1,
                    after_fused=fuse_dropped and block > 0 and configuration.fuses(block - 1),
                    dtype=dtype,
                    name="extraction",
                )
            return None

        # === Layers ===
        embeddings = BertEmbeddings(
            vocabulary_size,
            hidden_dim,
            max_sequence_length,
            num_segments,
            dropout,
            layer_norm_epsilon,
            initializer_range,
            dtype=dtype,
            name="embeddings",
        )
        blocks = [
            EncoderBlock(
                heads[block],
                neurons[block],
                activation,
                dropout,
                attention_dropout,
                layer_norm_epsilon,
                similarity,
                initializer_range,
                extraction=make_extraction(block),
                fades=extraction == "soft" and gate == "visibility" and block > 0,
                head_dim=head_dim or hidden_dim // heads[block],
                dtype=dtype,
                name=f"block_{block}",
            )
            for block in range(num_layers)
        ]
        pooler = keras.layers.Dense(
            hidden_dim,
            activation="tanh",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=initializer_range),
            dtype=dtype,
            name="pooler",
        )

        # === Functional Model ===
        inputs = make_inputs()
        padding_mask = inputs["padding_mask"]
        hidden_states = embeddings(inputs["token_ids"], inputs["segment_ids"])  # (batch, length, hidden)
        visibility = ops.cast(padding_mask, hidden_states.dtype)  # (batch, length)
        for block in blocks[:-1]:
            # (batch, kept, hidden) and (batch, kept)
            hidden_states, visibility = block(hidden_states, visibility, padding_mask)
        # No other token of the last block reaches the pooler. What computes them is left out of a compiled graph that
        # does not use them, as that of a classifier.
        sequence_output, _ = blocks[-1](hidden_states, visibility, padding_mask)  # (batch, kept, hidden)
        cls_output, _ = blocks[-1](hidden_states, visibility, padding_mask, cls_alone=True)  # (batch, 1, hidden)
        outputs = {"sequence_output": sequence_output, "pooled_output": pooler(cls_output[:, 0, :])}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.embeddings, self.blocks, self.pooler = embeddings, blocks, pooler
        self.vocabulary_size, self.num_layers, self.num_heads = vocabulary_size, num_layers, num_heads
        self.hidden_dim, self.intermediate_dim = hidden_dim, intermediate_dim
        self.max_sequence_length, self.num_segments = max_sequence_length, num_segments
        self.dropout, self.attention_dropout, self.activation = dropout, attention_dropout, activation
        self.layer_norm_epsilon, self.initializer_range = layer_norm_epsilon, initializer_range
        self.similarity, self.extraction, self.gate = similarity, extraction, gate
        self.retention = configuration
        self.retention_parameters, self.retention_unit = parameters, retention_unit
        self.retention_profile, self.retention_jitter = retention_profile, retention_jitter
        self.head_dim, self.fuse_dropped = head_dim, fuse_dropped

    def get_config(self) -> dict[str, Any]:
        names = (
            "vocabulary_size num_layers num_heads hidden_dim intermediate_dim max_sequence_length num_segments "
            "dropout attention_dropout activation layer_norm_epsilon initializer_range similarity extraction gate "
            "retention retention_parameters retention_unit retention_profile retention_jitter head_dim fuse_dropped"
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names.split()},
            "retention": None if self.retention is None else self.retention.to_json(),
        }

    @property
    def search(self) -> ConfigurationSearch:
        """The search for a retention configuration.

        Raises:
            ValueError: The encoder has no soft extraction.
        """
        layers = [block.extraction for block in self.blocks if isinstance(block.extraction, SoftExtraction)]
        if not layers:
            raise ValueError(f"a search needs extraction='soft'. Received: extraction={self.extraction!r}")
        return ConfigurationSearch(layers)
