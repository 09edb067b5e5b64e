"""AdamW with two learning rates, its quantization-aware form, and the warm-up schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from power_bert.elimination.search import descend, is_retention_parameter, normalize_gradients
from power_bert.model.int8_weights import rounded_to_int8


@keras.saving.register_keras_serializable(package="power_bert")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly to `peak`, then falls linearly to 0 (Devlin et al. 2019, appendix A.2).

    Args:
        peak: Peak learning rate.
        warmup_steps: Training steps until the peak is reached; 0 starts at the peak.
        total_steps: Training steps of the whole training, more than `warmup_steps`.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 0 and below total_steps={total_steps}")
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        # Training steps are counted from 1, so that the first one already moves the weights.
        number = ops.cast(step, "float32") + 1.0
        rising = number / max(self.warmup_steps, 1)
        falling = (self.total_steps + 1.0 - number) / (self.total_steps + 1.0 - max(self.warmup_steps, 1))
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable(package="power_bert")
class TwoRateAdamW(keras.optimizers.AdamW):
    """AdamW for a model, and gradient descent with a learning rate of its own for its retention parameters.

    `power_bert.elimination.search.descend` moves the retention parameters; their gradients are not clipped and their
    weights do not decay. Biases, layer norms and learned similarity scales do not decay either (Devlin et al. 2019).

    On TensorFlow one fused operation updates each variable. It reads and writes the large embedding table once instead
    of five times. Other backends compile the whole training step.

    Args:
        learning_rate: Learning rate of all weights but the retention parameters: a number or a schedule.
        retention_rate: Learning rate of the retention parameters.
    """

    def __init__(self, learning_rate: Any = 3e-5, retention_rate: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.retention_rate = retention_rate
        self._retention_indices: set[int] = set()
        self._is_retention: list[bool] = []  # one entry per gradient of the step being traced

    def build(self, variables: list[keras.Variable]) -> None:
        undecayed = [variable for variable in variables if len(variable.shape) == 1]
        if undecayed:
            self.exclude_from_weight_decay(var_list=undecayed)
        super().build(variables)
        self._retention_indices = {
            index for index, variable in enumerate(variables) if is_retention_parameter(variable)
        }

    def _backend_apply_gradients(self, grads: list[Any], trainable_variables: list[Any]) -> None:
        self._is_retention = [
            self._get_variable_index(variable) in self._retention_indices for variable in trainable_variables
        ]
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # The gradient of an embedding table comes as slices; clipping needs its true norm.
            grads = [tf.convert_to_tensor(grad) for grad in grads]
        super()._backend_apply_gradients(grads, trainable_variables)

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        """Clip all gradients but those of the retention parameters, which are normalized together."""
        clipped = iter(
            super()._clip_gradients([grad for grad, own in zip(grads, self._is_retention, strict=True) if not own])
        )
        retention = [grad for grad, own in zip(grads, self._is_retention, strict=True) if own]
        if not retention:
            return list(clipped)
        normalized = iter(normalize_gradients(retention))
        return [next(normalized) if own else next(clipped) for own in self._is_retention]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable: Adam (Kingma & Ba 2015), or momentum for retention parameters."""
        index = self._get_variable_index(variable)
        if index in self._retention_indices:
            momentum, change = descend(
                gradient, self._momentums[index], self.iterations + 1, self.retention_rate, self.beta_1
            )
            self.assign(self._momentums[index], momentum)
            self.assign_sub(variable, change)
        elif keras.backend.backend() == "tensorflow":
            self._fused_adam(gradient, variable, index, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _fused_adam(self, gradient: Any, variable: Any, index: int, learning_rate: Any) -> None:
        import tensorflow as tf

        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "retention_rate": self.retention_rate}


@keras.saving.register_keras_serializable(package="power_bert")
class QuantizationAwareAdamW(TwoRateAdamW):
    """`TwoRateAdamW` for kernels that int8 represents exactly.

    The model holds rounded kernels, so that its loss is that of the quantized model. Their gradients change unrounded
    ones, which only the optimizer knows (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432).

    Args:
        rounded: Kernels to round.
    """

    def __init__(self, learning_rate: Any = 3e-5, rounded: Sequence[keras.Variable] = (), **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        # Keras would take the kernels themselves for variables of the optimizer.
        self._rounded = {self._var_key(kernel) for kernel in rounded}
        self._unrounded: dict[int, keras.Variable] = {}

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        for index, variable in enumerate(variables):
            if self._var_key(variable) in self._rounded:
                self._unrounded[index] = self.add_variable_from_reference(variable, name="unrounded")
                self._unrounded[index].assign(ops.copy(variable))

    def apply(self, grads: list[Any], trainable_variables: list[keras.Variable] | None = None) -> None:
        """Update the unrounded kernels, and round them."""
        for index, unrounded in self._unrounded.items():
            self._trainable_variables[index].assign(unrounded)
        super().apply(grads, trainable_variables)
        for index, unrounded in self._unrounded.items():
            kernel = self._trainable_variables[index]
            unrounded.assign(kernel)
            kernel.assign(rounded_to_int8(kernel, axis=0))
