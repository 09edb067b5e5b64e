"""Bidirectional LSTM over token embeddings (Tang et al. 2019, arXiv 1903.12136)."""

from __future__ import annotations

from typing import Any

import keras

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.students.lstm import BidirectionalLstm
from power_bert.model.text_backbone import TextBackbone, make_inputs


@keras.saving.register_keras_serializable(package="power_bert")
class BiLstmBackbone(TextBackbone):
    """Backbone of embeddings, one bidirectional LSTM layer, and a ReLU layer on the last states of both directions.

    Differs from Tang et al. in reading WordPiece tokens with embeddings of its own instead of words with word2vec's.
    A text pair is read as one text with `[SEP]` in between.

    Args:
        vocabulary_size: Number of tokens in the vocabulary, the rows of the embedding table.
        embedding_dim: Dimension of the embeddings.
        units: Dimension of the state of each direction.
        hidden_dim: Dimension of the ReLU layer, the pooled output.
        dropout: Dropout rate of the embeddings and of the last states.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 64,
        units: int = 64,
        hidden_dim: int = 128,
        dropout: float = 0.1,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        token_embedding = keras.layers.Embedding(vocabulary_size, embedding_dim, dtype=dtype, name="token_embedding")
        embedding_dropout = keras.layers.Dropout(dropout, dtype=dtype, name="embedding_dropout")
        lstm = BidirectionalLstm(units, dtype=dtype, name="lstm")
        state_dropout = keras.layers.Dropout(dropout, dtype=dtype, name="state_dropout")
        hidden = keras.layers.Dense(hidden_dim, activation="relu", dtype=dtype, name="hidden")

        # === Functional Model ===
        inputs = make_inputs()
        embedded = embedding_dropout(token_embedding(inputs["token_ids"]))  # (batch, length, embedding_dim)
        states = lstm(embedded, inputs["padding_mask"])  # (batch, 2 · units)
        outputs = {"pooled_output": hidden(state_dropout(states))}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.token_embedding = token_embedding
        self.vocabulary_size, self.embedding_dim = vocabulary_size, embedding_dim
        self.units, self.hidden_dim, self.dropout = units, hidden_dim, dropout

    def get_config(self) -> dict[str, Any]:
        names = ("vocabulary_size", "embedding_dim", "units", "hidden_dim", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="power_bert")
class BiLstmTextClassifier(PowerBertTextClassifier):
    """Task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = BiLstmBackbone
