"""Hands prefetched batches to Keras on either backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from power_bert.pretrain.batches import BATCH_DTYPES, Arrays
from power_bert.pretrain.prefetch import Prefetcher


def training_data(batches: Prefetcher[Arrays], num_batches: int, shapes: dict[str, tuple[int, int]]) -> Any:
    """What `keras.Model.fit` takes for x: a tf.data pipeline on TensorFlow, else a generator.

    Args:
        batches: Ready ones.
        num_batches: How many there will be.
        shapes: Of the arrays of a batch.
    """
    if keras.backend.backend() != "tensorflow":
        return _tuples(batches, num_batches)
    import tensorflow as tf

    # No `from_generator`: see `power_bert.train.feeding`.
    def take(index: np.ndarray) -> list[np.ndarray]:
        if index == 0:  # with several devices Keras looks at the first batch before it begins
            batches.start()
        batch = batches.take()
        return [batch[name] for name in BATCH_DTYPES]

    def with_shapes(index: Any) -> Any:
        arrays = tf.numpy_function(take, [index], list(BATCH_DTYPES.values()))
        return ({n: tf.ensure_shape(array, shapes[n]) for n, array in zip(BATCH_DTYPES, arrays, strict=True)},)

    options = tf.data.Options()
    options.autotune.enabled = False  # as there: its thread is waited for at the end, for up to a minute
    # Otherwise tf.data would wait in training's place, and the time that training waits could not be told.
    options.experimental_optimization.inject_prefetch = False
    return tf.data.Dataset.range(num_batches).map(with_shapes).with_options(options)


def _tuples(batches: Prefetcher[Arrays], num_batches: int) -> Iterator[tuple[Arrays]]:
    batches.start()
    for _ in range(num_batches):
        yield (batches.take(),)
