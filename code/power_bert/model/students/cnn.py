"""Convolutions over word embeddings (Kim, Convolutional neural networks for sentence classification, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.text_backbone import TextBackbone, make_inputs


@keras.saving.register_keras_serializable(package="power_bert")
class CnnBackbone(TextBackbone):
    """Filters of several widths over word-piece embeddings, each reduced to its largest value in the text.

    Beyond the ends of a text its embeddings are zero, whether there is padding or not.

    Args:
        vocabulary_size: rows of the embedding table.
        embedding_dim: width of an embedding.
        filters: filters of each width.
        widths: how many word pieces a filter sees.
        dropout: rate on the embeddings.
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
        embedded = token_embedding(inputs["token_ids"])
        embedded = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")(embedded)
        is_token = ops.expand_dims(ops.cast(inputs["padding_mask"], embedded.dtype), -1)
        embedded = embedded * is_token
        # After ReLU nothing is below zero, so padding set to zero is never the largest.
        largest = [ops.max(convolution(embedded) * is_token, axis=1) for convolution in convolutions]
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
    """The task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = CnnBackbone
