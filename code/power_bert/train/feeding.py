"""Hands batches to Keras on either backend without a new trace for each batch shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from power_bert.model.preprocessor import INPUT_NAMES
from power_bert.text.batches import Batch


def training_data(batches: Callable[[], Iterator[Batch]], num_batches: int, labels_dtype: str) -> Any:
    """What `keras.Model.fit` takes for x.

    On TensorFlow a tf.data pipeline whose batch and length are left open, so that one graph serves all lengths; on
    other backends a plain generator, and one compilation a bucket length.

    Args:
        batches: starts a pass over the data.
        num_batches: batches of a pass.
        labels_dtype: "int64" for classes, "float32" for scores.
    """

    def examples() -> Iterator[Any]:
        for batch in batches():
            yield batch.inputs, np.asarray(batch.labels, dtype=labels_dtype)

    if keras.backend.backend() != "tensorflow":
        return examples()
    import tensorflow as tf

    inputs = {name: tf.TensorSpec((None, None), tf.int32) for name in INPUT_NAMES}
    signature = (inputs, tf.TensorSpec((None,), labels_dtype))
    data = tf.data.Dataset.from_generator(examples, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(2)
