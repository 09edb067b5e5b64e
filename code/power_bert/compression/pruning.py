"""Magnitude pruning of a model while it trains (Zhu and Gupta 2017, arXiv 1710.01878).

The schedule and the masks are those of tensorflow-model-optimization; its Keras wrappers are for Keras 2 alone, so its
engine is applied to the variables of a Keras 3 model here.
"""

from __future__ import annotations

from typing import Any

import keras

from power_bert.compression.blocks import SINGLE
from power_bert.compression.weights import compressible
from power_bert.errors import UserError

# The masks follow the weights so many times while the sparsity rises.
_MASK_UPDATES = 50


class MagnitudePruning(keras.callbacks.Callback):
    """Sets the smallest weights of each tensor to 0 during `fit`, more of them from update to update.

    The share of zeros rises as s · (1 − (1 − t)³), t from 0 to 1 over the first updates, and stays at s. That of a
    model that was pruned before rises from what it is. There, and where a training is resumed, zeros stay.

    Args:
        model: whose weights are pruned; what is fitted may hold more than it.
        sparsity: share of zeros at the end, above 0 and below 1.
        rising_updates: updates over which it rises.
        block: rows and columns that become 0 together; `SINGLE` for single values. Blocks are for matrices alone.
        first_update: updates that were done before a training was resumed.
        initial_sparsity: share of zeros before the first update, of a model that was pruned before.

    Raises:
        UserError: the backend is not TensorFlow, or the model has no weights that can be pruned.
    """

    def __init__(
        self,
        model: keras.Model,
        sparsity: float,
        rising_updates: int,
        block: tuple[int, int] = SINGLE,
        first_update: int = 0,
        initial_sparsity: float = 0.0,
    ) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise UserError("pruning runs on TensorFlow alone: leave BACKEND empty, or set BACKEND=tensorflow")
        self.weights = compressible(model, block)
        if not self.weights:
            raise UserError("the model has no weights to prune: all its tensors are small")
        self.sparsity, self.rising_updates, self.block = sparsity, rising_updates, block
        self.first_update, self.initial_sparsity = first_update, initial_sparsity

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_schedule import PolynomialDecay

        weights = [weight.value for weight in self.weights]
        frequency = max(1, self.rising_updates // _MASK_UPDATES)
        # The last mask update is the one that arrives at the sparsity.
        end = max(frequency, self.rising_updates // frequency * frequency)
        schedule = PolynomialDecay(
            self.initial_sparsity, self.sparsity, begin_step=0, end_step=end, power=3, frequency=frequency
        )
        self._update = tf.Variable(self.first_update, dtype=tf.int64)
        keeps_zeros = self.first_update > 0 or self.initial_sparsity > 0
        masks = [
            tf.Variable(tf.cast(weight != 0, weight.dtype) if keeps_zeros else tf.ones_like(weight))
            for weight in weights
        ]
        engine = Pruning(
            lambda: self._update,
            [(weight, mask, tf.Variable(0.0, dtype=weight.dtype)) for weight, mask in zip(weights, masks, strict=True)],
            schedule,
            self.block,
            "AVG",
        )

        @tf.function(autograph=False)
        def prune() -> None:
            with tf.control_dependencies([engine.conditional_mask_update()]):
                engine.weight_mask_op()

        self._prune = prune

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._update.assign_add(1)
        self._prune()
