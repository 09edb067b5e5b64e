"""Pruning and clustering as the settings of a training ask for them."""

from __future__ import annotations

from collections.abc import Callable

import keras

from power_bert.compression.blocks import parse_block
from power_bert.compression.clustering import WeightClustering
from power_bert.compression.pruning import MagnitudePruning
from power_bert.distill_config import Distillation


def compression_callbacks(
    settings: Distillation, model: keras.Model
) -> Callable[[int, int], list[keras.callbacks.Callback]] | None:
    """(updates done before, updates of the whole training) → callbacks; None where nothing is to be compressed.

    In the first half of the training the sparsity rises, and in the second half weights are tied; the zeros stay.

    Raises:
        UserError: the model has nothing to compress, or the backend cannot.
    """
    if not settings.sparsity and not settings.clusters:
        return None

    def make(done: int, total: int) -> list[keras.callbacks.Callback]:
        callbacks: list[keras.callbacks.Callback] = []
        if settings.sparsity:
            block = parse_block(settings.block)
            callbacks.append(MagnitudePruning(model, settings.sparsity, total // 2, block, done))
        if settings.clusters:
            callbacks.append(WeightClustering(model, settings.clusters, total // 2, done))
        return callbacks

    make(0, 2)  # what cannot be is said before the training begins
    return make
