"""Pruning and clustering as the settings of a training ask for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from power_bert.compression.blocks import parse_block
from power_bert.compression.clustering import WeightClustering
from power_bert.compression.pruning import MagnitudePruning
from power_bert.distill_config import Distillation
from power_bert.run_dir import RunDir
from power_bert.train.run_folder import read_settings

# (updates done before, updates of the whole training) → callbacks
CallbackMaker = Callable[[int, int], list[keras.callbacks.Callback]]


def compression_callbacks(settings: Distillation, model: keras.Model) -> CallbackMaker | None:
    """What makes the callbacks of a training; None where nothing is to be compressed.

    In the first half of the training the sparsity rises, from that of the run that is continued, and in the second
    half weights are tied; the zeros stay.

    Raises:
        UserError: the model has nothing to compress, or the backend cannot.
    """
    if not settings.sparsity and not settings.clusters:
        return None

    before = _sparsity_before(settings)

    def make(done: int, total: int) -> list[keras.callbacks.Callback]:
        callbacks: list[keras.callbacks.Callback] = []
        if settings.sparsity:
            block = parse_block(settings.block)
            callbacks.append(MagnitudePruning(model, settings.sparsity, total // 2, block, done, before))
        if settings.clusters:
            callbacks.append(WeightClustering(model, settings.clusters, total // 2, done))
        return callbacks

    make(0, 2)  # what cannot be is said before the training begins
    return make


def _sparsity_before(settings: Distillation) -> float:
    """Of the student that is trained on; at most what is asked for now."""
    if settings.continued is None:
        return 0.0
    before = read_settings(RunDir(Path(settings.continued)))
    return min(before.sparsity, settings.sparsity) if isinstance(before, Distillation) else 0.0
