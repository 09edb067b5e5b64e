"""Input pipelines for Keras that need no new trace for each batch shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from power_bert.model.text_backbone import INPUT_NAMES
from power_bert.text.batches import Batch


def feed_training(
    batches: Callable[[], Iterator[Batch]], num_batches: int, labels_dtype: str, label_shape: tuple[int, ...] = ()
) -> Any:
    """Create the `x` argument of `keras.Model.fit`.

    On TensorFlow it is a tf.data pipeline with dynamic batch size and length, so that one graph serves all lengths. On
    other backends it is a plain generator, with one compilation per bucket length.

    Args:
        batches: Function that starts an epoch.
        num_batches: Number of batches per epoch.
        labels_dtype: "int64" for classes, "float32" for scores.
        label_shape: Shape of one label; empty for a scalar.
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
    """Create a tf.data pipeline over `examples`.

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
    # Joining the autotuner's thread takes up to a minute at the end of a training, and there is nothing to tune.
    options.autotune.enabled = False
    # Sequential, so that batches keep their order.
    data = tf.data.Dataset.range(num_batches).map(with_shapes, num_parallel_calls=1).prefetch(2)
    return data.with_options(options)
