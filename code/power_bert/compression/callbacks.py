"""Make the pruning and clustering callbacks of a training from its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from power_bert.compression.clustering import WeightClustering
from power_bert.compression.pruning import MagnitudePruning
from power_bert.config.distillation import Distillation
from power_bert.runs.run_dir import RunDir
from power_bert.runs.run_folder import read_settings

# (training steps done before, training steps of the whole training) → callbacks
CallbackMaker = Callable[[int, int], list[keras.callbacks.Callback]]


def compression_callbacks(settings: Distillation, model: keras.Model) -> CallbackMaker | None:
    """Make a function that creates the callbacks of a training; None if the settings ask for no compression.

    In the first half of the training the sparsity rises from that of the continued run. In the second half weights are
    clustered, and zeros stay zero.

    Raises:
        UserError: The model has no weights to compress, or the backend does not support it.
    """
    if not settings.sparsity and not settings.clusters:
        return None

    before = _sparsity_before(settings)

    def make(done: int, total: int) -> list[keras.callbacks.Callback]:
        callbacks: list[keras.callbacks.Callback] = []
        if settings.sparsity:
            callbacks.append(MagnitudePruning(model, settings.sparsity, total // 2, settings.block, done, before))
        if settings.clusters:
            callbacks.append(WeightClustering(model, settings.clusters, total // 2, done))
        return callbacks

    make(0, 2)  # validates before the training begins
    return make


def _sparsity_before(settings: Distillation) -> float:
    """Return the sparsity of the continued student, at most the sparsity of the settings."""
    if settings.continued is None:
        return 0.0
    before = read_settings(RunDir(Path(settings.continued)))
    return min(before.sparsity, settings.sparsity) if isinstance(before, Distillation) else 0.0
