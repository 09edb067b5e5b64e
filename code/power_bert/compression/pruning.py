"""Magnitude pruning during training (Zhu and Gupta 2017, arXiv 1710.01878).

The schedule and the masks are those of tensorflow-model-optimization. Its Keras wrappers support only Keras 2, so its
engine is applied here to the variables of a Keras 3 model.
"""

from __future__ import annotations

from typing import Any

import keras

from power_bert.compression.weights import compressible
from power_bert.config.values import SINGLE
from power_bert.errors import UserError

# Number of times that the masks are recomputed while the sparsity rises.
_MASK_REFRESHES = 50


class MagnitudePruning(keras.callbacks.Callback):
    """Callback that sets the smallest weights of each tensor to 0 during training, more of them over time.

    The sparsity rises as s · (1 − (1 − t)³), with t from 0 to 1 over the first `ramp_steps` training steps, and then
    stays at s. For a model that was pruned before, it rises from its current value. In that case, and if a training is
    resumed, zeros stay zero.

    Args:
        model: Model whose weights are pruned; the fitted model may contain it.
        sparsity: Final fraction of zeros, above 0 and below 1.
        ramp_steps: Number of training steps over which the sparsity rises.
        block: Rows and columns of the blocks that become 0 together; `SINGLE` for single values. Larger blocks apply
            only to matrices.
        first_step: Number of training steps done before the training was resumed.
        initial_sparsity: Fraction of zeros before the first training step, for a model that was pruned before.

    Raises:
        UserError: The backend is not TensorFlow, or the model has no weights to prune.
    """

    def __init__(
        self,
        model: keras.Model,
        sparsity: float,
        ramp_steps: int,
        block: tuple[int, int] = SINGLE,
        first_step: int = 0,
        initial_sparsity: float = 0.0,
    ) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise UserError("pruning runs only on TensorFlow: leave BACKEND empty, or set BACKEND=tensorflow")
        self.weights = compressible(model, block)
        if not self.weights:
            raise UserError("the model has no weights to prune: all its tensors are small")
        self.sparsity, self.ramp_steps, self.block = sparsity, ramp_steps, block
        self.first_step, self.initial_sparsity = first_step, initial_sparsity

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning
        from tensorflow_model_optimization.python.core.sparsity.keras.pruning_schedule import PolynomialDecay

        weights = [weight.value for weight in self.weights]
        frequency = max(1, self.ramp_steps // _MASK_REFRESHES)
        # The schedule must end at a step at which the masks are recomputed.
        end = max(frequency, self.ramp_steps // frequency * frequency)
        schedule = PolynomialDecay(
            self.initial_sparsity, self.sparsity, begin_step=0, end_step=end, power=3, frequency=frequency
        )
        self._step = tf.Variable(self.first_step, dtype=tf.int64)
        keeps_zeros = self.first_step > 0 or self.initial_sparsity > 0
        masks = [
            tf.Variable(tf.cast(weight != 0, weight.dtype) if keeps_zeros else tf.ones_like(weight))
            for weight in weights
        ]
        engine = Pruning(
            lambda: self._step,
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
        self._step.assign_add(1)
        self._prune()
