"""The PoWER-BERT encoder as a keras-hub backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from power_bert.model.cost_target import CostTarget, meet_speedup
from power_bert.model.encoder_block import EncoderBlock
from power_bert.model.extraction import GATES, PROFILES, HardExtraction, RetentionMass, SoftExtraction
from power_bert.model.flops import Shape
from power_bert.model.retention import UNITS, Retention, check_retention, keeps_all, retention_from_masses
from power_bert.model.similarity import SIMILARITIES
from power_bert.model.text_backbone import TextBackbone, make_inputs

EXTRACTIONS = (None, "soft", "hard")


def _check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")


@keras.saving.register_keras_serializable(package="power_bert")
class BertEmbeddings(keras.layers.Layer):
    """Sum of token, position and segment embeddings, layer norm, dropout.

    Args:
        vocabulary_size: rows of the token table.
        hidden_dim: width.
        max_sequence_length: rows of the position table.
        num_segments: rows of the segment table; with one row, every token is of segment 0, whatever the input says.
        dropout: rate.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial tables.
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
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, None, self.hidden_dim))
        self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.built = True

    def call(self, token_ids: Any, segment_ids: Any, training: bool | None = None) -> Any:
        """Embed int32 (batch, length) ids: (batch, length, hidden)."""
        length = ops.shape(token_ids)[1]
        if self.num_segments == 1:
            segment_ids = ops.zeros_like(segment_ids)
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
    """BERT's encoder with progressive word-vector elimination (Goyal et al., ICML 2020).

    Differs from BERT in a choice of attention similarity and in the extraction inside every encoder block. With
    `similarity="dot"` and `extraction=None` it is BERT.

    Inputs, a dict of int32 (batch, length): ``token_ids``, ``segment_ids``, ``padding_mask``. Outputs, a dict:
    ``sequence_output`` (batch, kept, hidden) and ``pooled_output`` (batch, hidden). A result does not depend on
    how much padding a batch has.

    Args:
        vocabulary_size: number of tokens.
        num_layers: encoder blocks.
        num_heads: attention heads; divides `hidden_dim`.
        hidden_dim: width of the word-vectors.
        intermediate_dim: width of the feed-forward layers.
        max_sequence_length: positions the checkpoint knows.
        num_segments: segments (sentence A, sentence B).
        dropout: rate on hidden states.
        attention_dropout: rate on attention probabilities.
        activation: "gelu" (exact), "gelu_tanh" or any Keras activation.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of initial weights.
        similarity: "dot", "cosine", "euclidean" or "gaussian".
        extraction: None, "soft" (search) or "hard" (shorter tensors).
        gate: of soft extraction, "visibility" or "scale".
        retention: of hard extraction, one value a block (`power_bert.model.retention`).
        retention_parameters: of soft extraction, parameters a block: the maximum length of the search.
        retention_unit: of soft extraction, "fraction" or "tokens".
        retention_profile: of soft extraction, "free" or "step" (`SoftExtraction`).
        retention_jitter: of hard extraction, how much significance is shaken in training (`HardExtraction`).

    Example:
        >>> backbone = PowerBertBackbone(100, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16,
        ...                              extraction="hard", retention=(4, 1))
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
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
        retention: Sequence[int | float] | None = None,
        retention_parameters: int | None = None,
        retention_unit: str = "fraction",
        retention_profile: str = "free",
        retention_jitter: float = 0.0,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        _check_choice("similarity", similarity, tuple(SIMILARITIES))
        _check_choice("extraction", extraction, EXTRACTIONS)
        _check_choice("gate", gate, GATES)
        _check_choice("retention_unit", retention_unit, UNITS)
        _check_choice("retention_profile", retention_profile, PROFILES)
        if extraction == "hard" and retention is None:
            raise ValueError("extraction='hard' needs `retention`, one value a block")
        if hidden_dim % num_heads:
            raise ValueError(f"hidden_dim={hidden_dim} is not a multiple of num_heads={num_heads}")
        if extraction == "hard" and retention is not None:
            retention = check_retention(retention, num_layers, max_sequence_length)
        parameters = retention_parameters or max_sequence_length

        def make_extraction(block: int) -> SoftExtraction | HardExtraction | None:
            if extraction == "soft":
                return SoftExtraction(
                    parameters, gate, retention_unit, retention_profile, dtype=dtype, name="extraction"
                )
            if extraction == "hard" and retention is not None and not keeps_all(retention[block]):
                return HardExtraction(retention[block], retention_jitter, dtype=dtype, name="extraction")
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
                num_heads,
                intermediate_dim,
                activation,
                dropout,
                attention_dropout,
                layer_norm_epsilon,
                similarity,
                initializer_range,
                extraction=make_extraction(block),
                fades=extraction == "soft" and gate == "visibility" and block > 0,
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
        hidden_states = embeddings(inputs["token_ids"], inputs["segment_ids"])
        visibility = ops.cast(padding_mask, hidden_states.dtype)
        for block in blocks:
            hidden_states, visibility = block(hidden_states, visibility, padding_mask)
        outputs = {"sequence_output": hidden_states, "pooled_output": pooler(hidden_states[:, 0, :])}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.embeddings, self.blocks, self.pooler = embeddings, blocks, pooler
        self.vocabulary_size, self.num_layers, self.num_heads = vocabulary_size, num_layers, num_heads
        self.hidden_dim, self.intermediate_dim = hidden_dim, intermediate_dim
        self.max_sequence_length, self.num_segments = max_sequence_length, num_segments
        self.dropout, self.attention_dropout, self.activation = dropout, attention_dropout, activation
        self.layer_norm_epsilon, self.initializer_range = layer_norm_epsilon, initializer_range
        self.similarity, self.extraction, self.gate = similarity, extraction, gate
        self.retention = None if retention is None else tuple(retention)
        self.retention_parameters, self.retention_unit = parameters, retention_unit
        self.retention_profile, self.retention_jitter = retention_profile, retention_jitter

    def get_config(self) -> dict[str, Any]:
        names = (
            "vocabulary_size num_layers num_heads hidden_dim intermediate_dim max_sequence_length num_segments "
            "dropout attention_dropout activation layer_norm_epsilon initializer_range similarity extraction gate "
            "retention retention_parameters retention_unit retention_profile retention_jitter"
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}

    @property
    def retention_variables(self) -> list[keras.Variable]:
        """What soft extraction learns in every block: (parameters,), or (1,) with a step profile; else empty."""
        return [extraction.retention for extraction in self._soft_extractions]

    @property
    def _soft_extractions(self) -> list[SoftExtraction]:
        return [block.extraction for block in self.blocks if isinstance(block.extraction, SoftExtraction)]

    def set_regularization(self, strength: float, words_per_example: float) -> None:
        """Regularise the search with λ · Σ_j j · mass(j), mass counted in word-vectors. Call before compiling.

        With unit "tokens" the mass is the sum of the parameters (Goyal et al. 2020, equation 3). With unit
        "fraction" that sum is a share of all parameters, and the word-vectors it stands for depend on the example:
        the mass of an average training example is taken, so that λ weighs one word-vector alike in both units.

        Args:
            strength: λ.
            words_per_example: words of an average training example, `[CLS]` and `[SEP]` among them.
        """
        if self.retention_unit == "fraction":
            strength = strength * words_per_example / self.retention_parameters
        for number, variable in enumerate(self.retention_variables, start=1):
            step_parameters = self.retention_parameters if self.retention_profile == "step" else None
            variable.regularizer = RetentionMass(strength, number, step_parameters)

    def set_cost_target(self, target: float, lengths: Sequence[int]) -> None:
        """Let the search come to `target` times fewer FLOPs, in place of `set_regularization`. Call before compiling.

        Args:
            target: how many times fewer FLOPs than without elimination, over 1.
            lengths: words of the training examples.
        """
        self.retention_variables[0].regularizer = CostTarget(self._soft_extractions, self._shape, lengths, target)

    @property
    def _shape(self) -> Shape:
        return Shape.of(self.get_config(), num_classes=1)

    def retention_masses(self) -> list[float]:
        """Mass Σ_k r_j[k] of every block, each in [1, retention_parameters]."""
        return [float(ops.convert_to_numpy(layer.retention_by_rank()).sum()) for layer in self._soft_extractions]

    def searched_retention(self) -> Retention:
        """The retention configuration that the search has arrived at.

        The last block keeps ``[CLS]`` alone, whatever its mass: after its attention nothing else reaches the
        classifier, so nothing is lost and its feed-forward layer runs on one word-vector.
        """
        masses = [*self.retention_masses()[:-1], 0.0]
        return retention_from_masses(masses, self.retention_parameters, self.retention_unit)

    def retention_at_speedup(self, target: float, lengths: Sequence[int]) -> Retention:
        """As `searched_retention`, with all blocks keeping so much more or less that the target of FLOPs is met.

        Args:
            target: how many times fewer FLOPs than without elimination.
            lengths: words of the training examples.
        """
        masses, unit = self.retention_masses(), self.retention_unit
        return meet_speedup(masses, self.retention_parameters, unit, self._shape, lengths, target)
