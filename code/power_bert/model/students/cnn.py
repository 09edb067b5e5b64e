"""Convolutions over token embeddings (Kim, Convolutional neural networks for sentence classification, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.text_backbone import TextBackbone, make_inputs


@keras.saving.register_keras_serializable(package="power_bert")
class CnnBackbone(TextBackbone):
    """Backbone of convolution filters of several widths over token embeddings, with max pooling over the text.

    The embeddings beyond the ends of a text are zero, whether there is padding or not.

    Args:
        vocabulary_size: Number of tokens in the vocabulary, the rows of the embedding table.
        embedding_dim: Dimension of the embeddings.
        filters: Number of filters of each width.
        widths: Filter widths, in tokens.
        dropout: Dropout rate of the embeddings.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 128,
        filters: int = 100,
        widths: Sequence[int] = (3, 4, 5),
        dropout: float = 0.1,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        token_embedding = keras.layers.Embedding(vocabulary_size, embedding_dim, dtype=dtype, name="token_embedding")
        convolutions = [
            keras.layers.Conv1D(filters, width, padding="same", activation="relu", dtype=dtype, name=f"width_{width}")
            for width in widths
        ]

        # === Functional Model ===
        inputs = make_inputs()
        embedded = token_embedding(inputs["token_ids"])  # (batch, length, embedding_dim)
        embedded = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(embedded)
        is_token = ops.expand_dims(ops.cast(inputs["padding_mask"], embedded.dtype), -1)  # (batch, length, 1)
        embedded = embedded * is_token
        # After ReLU no value is below zero, so padding set to zero never changes the maximum.
        largest = [
            ops.max(convolution(embedded) * is_token, axis=1) for convolution in convolutions
        ]  # (batch, filters)
        outputs = {"pooled_output": ops.concatenate(largest, axis=-1)}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.token_embedding = token_embedding
        self.vocabulary_size, self.embedding_dim = vocabulary_size, embedding_dim
        self.filters, self.widths, self.dropout = filters, tuple(widths), dropout

    def get_config(self) -> dict[str, Any]:
        names = ("vocabulary_size", "embedding_dim", "filters", "widths", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="power_bert")
class CnnTextClassifier(PowerBertTextClassifier):
    """Task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = CnnBackbone
