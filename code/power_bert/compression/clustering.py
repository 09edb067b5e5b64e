"""Weight clustering during training: each tensor has only a few distinct values.

Han et al. 2016, Deep Compression, arXiv 1510.00149, section 3.

The initial centroids are those of tensorflow-model-optimization (k-means++, with 0 among them if the weights were
pruned). Its Keras wrappers support only Keras 2.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from power_bert.compression.weights import compressible
from power_bert.errors import UserError

# Number of evenly spaced values of a large tensor from which its centroids are computed.
_SAMPLE = 50_000
_LLOYD_ROUNDS = 20


class WeightClustering(keras.callbacks.Callback):
    """Callback that ties the weights of each tensor to a few centroids from a given training step on.

    From then on, after each training step the weights of a cluster are set to their mean, which averages the gradients
    of the cluster. Weights that are 0 at that point stay 0.

    Args:
        model: Model whose weights are clustered; the fitted model may contain it.
        clusters: Number of distinct values per tensor, 2 to 256.
        begin_step: Training step after which the weights are clustered.
        first_step: Number of training steps done before the training was resumed.

    Raises:
        UserError: The backend is not TensorFlow, or the model has no weights to cluster.
    """

    def __init__(self, model: keras.Model, clusters: int, begin_step: int, first_step: int = 0) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise UserError("clustering runs only on TensorFlow: leave BACKEND empty, or set BACKEND=tensorflow")
        self.weights = compressible(model)
        if not self.weights:
            raise UserError("the model has no weights to cluster: all its tensors are small")
        self.clusters, self.begin_step = clusters, begin_step
        self._step = first_step
        self._tie: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._step >= self.begin_step:
            self._start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._step += 1
        if self._tie is None and self._step >= self.begin_step:
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
    """Compute the centroids of a tensor's values; one is 0 if at least a tenth of the values are 0.

    Args:
        values: Values of the tensor, of any shape.
        clusters: Maximum number of centroids; fewer if there are fewer distinct values.

    Returns:
        Centroids in ascending order, (clusters,).
    """
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import (
        KmeansPlusPlusCentroidsInitialisation,
    )

    different = np.unique(values)
    if len(different) <= clusters:  # already clustered before the training was resumed
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
    """Return the index of the nearest of the ascending centroids, int32, shape of `values`; 0 maps to a centroid 0."""
    members = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
    if 0 in centroids:
        members = np.where(values == 0, np.searchsorted(centroids, 0), members)
    return members.astype(np.int32)
