"""Keras model for pre-training: a masked language model with gradient accumulation, on one or several devices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.pretrain.masked_lm_loss import masked_lm_loss
from power_bert.train.optimizers import TwoRateAdamW

Tensor = Any
MaskedBatch = dict[str, Tensor]
# Keys of a batch besides the inputs of the model.
LABELS, WEIGHTS = "labels", "weights"


class SynchronousAdamW(TwoRateAdamW):
    """AdamW that clips the gradient of the whole batch; with tf.distribute, Keras would clip that of each device."""

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            grads = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, grads)
        clipped: list[Any] = super()._clip_gradients(grads)
        return clipped

    def _all_reduce_sum_gradients(self, grads_and_vars: list[Any]) -> list[Any]:
        return grads_and_vars  # already reduced in `_clip_gradients`


class AccumulatedTraining(keras.Model):
    """Model that trains a masked language model with gradient accumulation: one training step per batch.

    A batch is a dict of the inputs of the model, ``labels`` and ``weights`` (`masked_lm_loss` describes them). The loss
    has a fixed divisor, so the sum of the gradients over parts and devices is the gradient of the whole batch.

    Args:
        masked_lm: Masked language model to train.
        parts: Number of parts of a batch, to save memory; must divide the records per device.
    """

    def __init__(self, masked_lm: PowerBertMaskedLM, parts: int = 1) -> None:
        super().__init__()
        self.masked_lm, self.parts = masked_lm, parts
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.built = True

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters, token embeddings included."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker]

    def call(self, inputs: MaskedBatch, training: bool | None = None) -> Tensor:
        return self.masked_lm(_model_inputs(inputs), training=training)

    def train_step(self, *arguments: Any) -> Any:
        """Run one training step; Keras calls it with a batch on TensorFlow, with its state and a batch on JAX."""
        if keras.backend.backend() == "jax":
            return self._train_step_on_jax(*arguments)
        return self._train_step_on_tensorflow(*arguments)

    def _train_step_on_tensorflow(self, data: tuple[MaskedBatch]) -> dict[str, Tensor]:
        import tensorflow as tf

        variables = self.trainable_variables
        replicas = tf.distribute.get_strategy().num_replicas_in_sync

        def add_part(part: MaskedBatch, total: list[Tensor]) -> list[Tensor]:
            with tf.GradientTape() as tape:
                logits = self.masked_lm(_model_inputs(part), training=True)  # (batch, predictions, vocabulary)
                loss = masked_lm_loss(logits, part[LABELS], part[WEIGHTS]) / self.parts
                share = loss / replicas
            # The gradient of an embedding table is an IndexedSlices.
            gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(share, variables)]
            return [ops.add(*pair) for pair in zip(total, [loss, *gradients], strict=True)]

        start = [tf.zeros(()), *(tf.zeros(variable.shape, variable.dtype) for variable in variables)]
        loss, *gradients = self._over_parts(data[0], add_part, start)
        self.optimizer.apply(gradients, variables)
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    def _train_step_on_jax(self, state: tuple[Any, ...], data: tuple[MaskedBatch]) -> tuple[dict[str, Tensor], Any]:
        import jax

        trainable, non_trainable, optimizer_variables, metrics_variables = state

        def loss_of(trainable: Any, non_trainable: Any, part: MaskedBatch) -> Any:
            logits, non_trainable, *_ = self.masked_lm.stateless_call(
                trainable, non_trainable, _model_inputs(part), training=True
            )
            return masked_lm_loss(logits, part[LABELS], part[WEIGHTS]) / self.parts, non_trainable

        def add_part(part: MaskedBatch, total: Any) -> Any:
            values, non_trainable = total
            (loss, non_trainable), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, non_trainable, part)
            return [ops.add(*pair) for pair in zip(values, [loss, *gradients], strict=True)], non_trainable

        start = [ops.zeros(()), *(ops.zeros_like(variable) for variable in trainable)], non_trainable
        (loss, *gradients), non_trainable = self._over_parts(data[0], add_part, start)
        trainable, optimizer_variables = self.optimizer.stateless_apply(optimizer_variables, gradients, trainable)
        metrics_variables = self.loss_tracker.stateless_update_state(metrics_variables, loss)
        logs = {"loss": self.loss_tracker.stateless_result(metrics_variables)}
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)

    def _over_parts(self, batch: MaskedBatch, add_part: Callable[[MaskedBatch, Any], Any], start: Any) -> Any:
        """Fold `add_part` over the parts of a batch, beginning with `start`.

        A part consists of every `parts`-th record, so that each of several devices holds records of every part.
        """
        if self.parts == 1:
            return add_part(batch, start)
        # (records per part, parts, …)
        stacked = {
            name: ops.reshape(array, (array.shape[0] // self.parts, self.parts, *array.shape[1:]))
            for name, array in batch.items()
        }
        return ops.fori_loop(
            0,
            self.parts,
            lambda number, total: add_part(
                {name: ops.take(array, number, axis=1) for name, array in stacked.items()}, total
            ),
            start,
        )


def _model_inputs(batch: MaskedBatch) -> MaskedBatch:
    return {name: array for name, array in batch.items() if name not in (LABELS, WEIGHTS)}
