"""Layer that computes a linear map of the TF-IDF vector of a text."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.model.students.tfidf import position_weights


@keras.saving.register_keras_serializable(package="power_bert")
class TfidfBag(keras.layers.Layer):
    """Dense layer on the TF-IDF vector of the tokens, Σ_t tfidf_t · table[t] + bias, without building that vector.

    The inverse document frequencies are fixed weights, set by `set_idf` from the training set and saved with the model.

    Args:
        vocabulary_size: Number of tokens in the vocabulary, the rows of the table.
        output_dim: Dimension of the output.
        sublinear: Whether a term that occurs c times counts 1 + ln c instead of c.
        initial_range: Standard deviation of the table initialization; 0 initializes with zeros.
    """

    def __init__(
        self,
        vocabulary_size: int,
        output_dim: int,
        sublinear: bool = True,
        initial_range: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size, self.output_dim = vocabulary_size, output_dim
        self.sublinear, self.initial_range = sublinear, initial_range

    def build(self, token_ids_shape: Any, padding_mask_shape: Any = None) -> None:
        start = keras.initializers.RandomNormal(stddev=self.initial_range) if self.initial_range else "zeros"
        self.idf = self.add_weight(
            shape=(self.vocabulary_size,), initializer="ones", trainable=False, dtype="float32", name="idf"
        )
        self.table = self.add_weight(shape=(self.vocabulary_size, self.output_dim), initializer=start, name="table")
        self.bias = self.add_weight(shape=(self.output_dim,), initializer="zeros", name="bias")
        self.built = True

    def set_idf(self, idf: np.ndarray) -> None:
        """Set the inverse document frequencies of the training set, float32 (vocabulary_size,)."""
        self.idf.assign(idf)

    def call(self, token_ids: Any, padding_mask: Any) -> Any:
        """Map texts to the output: token ids and padding mask, int32 (batch, length) → (batch, output_dim)."""
        weights = position_weights(token_ids, padding_mask, ops.convert_to_tensor(self.idf), self.sublinear)
        rows = ops.take(self.table, token_ids, axis=0)  # (batch, length, output_dim)
        weights = ops.expand_dims(ops.cast(weights, rows.dtype), 1)  # (batch, 1, length)
        return ops.squeeze(ops.matmul(weights, rows), 1) + self.bias

    def compute_output_spec(self, token_ids: Any, padding_mask: Any) -> Any:
        return keras.KerasTensor((token_ids.shape[0], self.output_dim), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "output_dim": self.output_dim,
            "sublinear": self.sublinear,
            "initial_range": self.initial_range,
        }
