"""A linear map of the TF-IDF vector of a text, as a layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.model.students.tfidf import position_weights


@keras.saving.register_keras_serializable(package="power_bert")
class TfidfBag(keras.layers.Layer):
    """Σ_t tfidf_t · table[t] + bias: a dense layer on the TF-IDF vector of the word pieces, which is never made.

    The inverse document frequencies are fixed weights, set by `set_idf` from the training set and kept with the model.

    Args:
        vocabulary_size: rows of the table.
        output_dim: width of the result.
        sublinear: whether a term that occurs c times counts 1 + ln c, not c.
        initial_range: standard deviation of the initial table; 0 starts at zero.
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
        """Take the inverse document frequencies, (vocabulary_size,), of the training set."""
        self.idf.assign(idf)

    def call(self, token_ids: Any, padding_mask: Any) -> Any:
        """int32 (batch, length) ids and mask → (batch, output_dim)."""
        weights = position_weights(token_ids, padding_mask, ops.convert_to_tensor(self.idf), self.sublinear)
        rows = ops.take(self.table, token_ids, axis=0)  # (batch, length, output_dim)
        weights = ops.expand_dims(ops.cast(weights, rows.dtype), 1)
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
