"""Weight clustering while a model trains: each tensor has a few different values only.

Han et al. 2016, Deep Compression, arXiv 1510.00149, section 3.

The first centroids are those of tensorflow-model-optimization (k-means++, 0 among them where the weights were pruned),
whose Keras wrappers are for Keras 2 alone.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from power_bert.compression.weights import compressible
from power_bert.errors import UserError

# The first centroids of a large tensor are drawn from so many of its values, evenly spaced.
_SAMPLE = 50_000
_LLOYD_ROUNDS = 20


class WeightClustering(keras.callbacks.Callback):
    """Ties the weights of each tensor to a few centroids from a certain update of `fit` on.

    From then on, an update moves each weight as always, and the weights of a cluster to their mean afterwards: the
    cluster's gradients are averaged. Weights that are 0 by then stay 0.

    Args:
        model: whose weights are tied; what is fitted may hold more than it.
        clusters: different values of a tensor, 2 to 256.
        from_update: the first update of the training after which the weights are tied.
        first_update: updates that were done before a training was resumed.

    Raises:
        UserError: the backend is not TensorFlow, or the model has no weights that can be clustered.
    """

    def __init__(self, model: keras.Model, clusters: int, from_update: int, first_update: int = 0) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise UserError("clustering runs on TensorFlow alone: leave BACKEND empty, or set BACKEND=tensorflow")
        self.weights = compressible(model)
        if not self.weights:
            raise UserError("the model has no weights to cluster: all its tensors are small")
        self.clusters, self.from_update = clusters, from_update
        self._updates = first_update
        self._tie: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._updates >= self.from_update:
            self._start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._updates += 1
        if self._tie is None and self._updates >= self.from_update:
            self._start()
        if self._tie is not None:
            self._tie()

    def _start(self) -> None:
        import tensorflow as tf

        tied = []
        for weight in self.weights:
            values = np.asarray(weight)
            centroids = find_centroids(values, self.clusters)
            members = nearest(values, centroids)
            weight.assign(centroids[members])
            is_free = tf.constant((centroids != 0).astype(values.dtype))
            tied.append((weight.value, tf.constant(members), is_free))

        @tf.function(autograph=False)
        def tie() -> None:
            for weight, members, is_free in tied:
                means = tf.math.unsorted_segment_mean(tf.reshape(weight, [-1]), tf.reshape(members, [-1]), len(is_free))
                weight.assign(tf.gather(means * is_free, members))

        self._tie = tie


def find_centroids(values: np.ndarray, clusters: int) -> np.ndarray:
    """Centroids of the values of a tensor, ascending; one is 0 if a tenth of the values are.

    Args:
        values: of any shape.
        clusters: at most so many; fewer where there are fewer different values.
    """
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import (
        KmeansPlusPlusCentroidsInitialisation,
    )

    different = np.unique(values)
    if len(different) <= clusters:  # tied already, before the training was resumed
        return different
    flat = values.reshape(-1)
    sample = flat[np.linspace(0, flat.size - 1, min(flat.size, _SAMPLE)).astype(np.int64)]
    is_pruned = bool((sample == 0).mean() >= 0.1)
    start = KmeansPlusPlusCentroidsInitialisation(tf.constant(sample), clusters, preserve_sparsity=is_pruned)
    centroids = np.unique(start.get_cluster_centroids().numpy())
    if is_pruned:
        sample = sample[sample != 0]
    for _ in range(_LLOYD_ROUNDS):
        members = nearest(sample, centroids)
        counts = np.bincount(members, minlength=len(centroids))
        means = np.bincount(members, weights=sample, minlength=len(centroids)) / np.maximum(counts, 1)
        moved = np.where((counts == 0) | (centroids == 0), centroids, means)
        centroids = np.unique(moved.astype(values.dtype))
    return centroids


def nearest(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Number of the nearest of ascending centroids, int32, in the shape of `values`; a 0 belongs to a centroid of 0."""
    members = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
    if 0 in centroids:
        members = np.where(values == 0, np.searchsorted(centroids, 0), members)
    return members.astype(np.int32)
