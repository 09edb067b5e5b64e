"""Hands batches to Keras on either backend without a new trace for each batch shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from power_bert.model.text_backbone import INPUT_NAMES
from power_bert.text.batches import Batch


def training_data(
    batches: Callable[[], Iterator[Batch]], num_batches: int, labels_dtype: str, label_shape: tuple[int, ...] = ()
) -> Any:
    """What `keras.Model.fit` takes for x.

    On TensorFlow a tf.data pipeline whose batch and length are left open, so that one graph serves all lengths; on
    other backends a plain generator, and one compilation a bucket length.

    Args:
        batches: starts a pass over the data.
        num_batches: batches of a pass.
        labels_dtype: "int64" for classes, "float32" for scores.
        label_shape: of one label; empty for a number.
    """

    def examples() -> Iterator[Any]:
        for batch in batches():
            yield batch.inputs, np.asarray(batch.labels, dtype=labels_dtype)

    if keras.backend.backend() != "tensorflow":
        return examples()
    return _tensorflow_data(examples, num_batches, labels_dtype, label_shape)


def _tensorflow_data(
    examples: Callable[[], Iterator[Any]], num_batches: int, labels_dtype: str, label_shape: tuple[int, ...]
) -> Any:
    """A tf.data pipeline over `examples`.

    Not `Dataset.from_generator`: on Python 3.11 it sets malloc's M_MMAP_THRESHOLD to 128 KiB for the whole process.
    Every larger tensor is then mapped and unmapped anew, page by page, and a training step takes twice as long.
    """
    import tensorflow as tf

    running: Iterator[Any] = iter(())

    def take(index: np.ndarray) -> list[np.ndarray]:
        nonlocal running
        if index == 0:
            running = examples()
        inputs, labels = next(running)
        return [*(inputs[name] for name in INPUT_NAMES), labels]

    def with_shapes(index: Any) -> Any:
        *arrays, labels = tf.numpy_function(take, [index], [tf.int32] * len(INPUT_NAMES) + [labels_dtype])
        inputs = {name: tf.ensure_shape(array, (None, None)) for name, array in zip(INPUT_NAMES, arrays, strict=True)}
        return inputs, tf.ensure_shape(labels, (None, *label_shape))

    options = tf.data.Options()
    # There is nothing to tune here, and at the end of a training the tuner's thread is waited for, for up to a minute.
    options.autotune.enabled = False
    # One after another, so that the batches come in their order.
    data = tf.data.Dataset.range(num_batches).map(with_shapes, num_parallel_calls=1).prefetch(2)
    return data.with_options(options)
