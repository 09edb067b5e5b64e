"""Feed prefetched batches to Keras on either backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from power_bert.pretrain.masked_batches import BATCH_DTYPES, Arrays
from power_bert.pretrain.prefetch import Prefetcher


def feed_records(batches: Prefetcher[Arrays], num_batches: int, shapes: dict[str, tuple[int, int]]) -> Any:
    """Make the x of `keras.Model.fit`: a tf.data pipeline on TensorFlow, otherwise a generator.

    Args:
        batches: Prefetcher of the batches.
        num_batches: Number of batches.
        shapes: Shape of each array of a batch.
    """
    if keras.backend.backend() != "tensorflow":
        return _tuples(batches, num_batches)
    import tensorflow as tf

    # `power_bert.train.feeding` says why this does not use `from_generator`.
    def take(index: np.ndarray) -> list[np.ndarray]:
        if index == 0:  # with several devices Keras reads the first batch once before it begins
            batches.start()
        batch = batches.take()
        return [batch[name] for name in BATCH_DTYPES]

    def with_shapes(index: Any) -> Any:
        arrays = tf.numpy_function(take, [index], list(BATCH_DTYPES.values()))
        return ({n: tf.ensure_shape(array, shapes[n]) for n, array in zip(BATCH_DTYPES, arrays, strict=True)},)

    options = tf.data.Options()
    options.autotune.enabled = False  # the end of the pipeline can wait up to a minute for the autotuning thread
    # Otherwise tf.data would prefetch too, and the time that training waits could not be measured.
    options.experimental_optimization.inject_prefetch = False
    return tf.data.Dataset.range(num_batches).map(with_shapes).with_options(options)


def _tuples(batches: Prefetcher[Arrays], num_batches: int) -> Iterator[tuple[Arrays]]:
    batches.start()
    for _ in range(num_batches):
        yield (batches.take(),)
