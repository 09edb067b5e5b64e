"""AdamW with two learning rates, and its warm-up schedule."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="power_bert")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak` and falls linearly to 0 at `total_steps` (Devlin et al. 2019, appendix A.2).

    Args:
        peak: the highest rate.
        warmup_steps: updates until the peak is reached; 0 starts at the peak.
        total_steps: updates of the whole training, more than `warmup_steps`.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 0 and below total_steps={total_steps}")
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        # Updates are counted from 1, so that the first one already moves.
        number = ops.cast(step, "float32") + 1.0
        rising = number / max(self.warmup_steps, 1)
        falling = (self.total_steps + 1.0 - number) / (self.total_steps + 1.0 - max(self.warmup_steps, 1))
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable(package="power_bert")
class TwoRateAdamW(keras.optimizers.AdamW):
    """AdamW for a model, and gradient descent at a rate of its own for its retention parameters.

    The retention parameters follow the momentum of their gradient divided by its root mean square over all of them
    together. Adam would divide each by its own: then λ · j would count by its sign alone, every block would lose
    word-vectors at the same speed, and neither λ nor the loss would decide which block keeps how many. They take no
    part in the clipping, are not decayed, and their rate is constant, as a decaying one would bound how much a search
    of few updates can eliminate.

    Biases, layer norms and learned similarity scales are not decayed either (Devlin et al. 2019). On TensorFlow each
    variable is updated by one fused operation, which reads and writes the big embedding table once and not five
    times; other backends compile the update themselves.

    Args:
        learning_rate: a number or a schedule, for all but the retention parameters.
        retention_rate: what an average retention parameter moves in one update.
    """

    def __init__(self, learning_rate: Any = 3e-5, retention_rate: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.retention_rate = retention_rate
        self._retention_indices: set[int] = set()
        self._is_retention: list[bool] = []  # of the gradients of the update that is being traced

    def build(self, variables: list[keras.Variable]) -> None:
        undecayed = [variable for variable in variables if len(variable.shape) == 1]
        if undecayed:
            self.exclude_from_weight_decay(var_list=undecayed)
        super().build(variables)
        self._retention_indices = {
            index for index, variable in enumerate(variables) if variable.path.endswith("/retention")
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
        """Clip all gradients but those of the retention parameters, which are normalised together."""
        clipped = iter(
            super()._clip_gradients([grad for grad, own in zip(grads, self._is_retention, strict=True) if not own])
        )
        retention = [grad for grad, own in zip(grads, self._is_retention, strict=True) if own]
        if not retention:
            return list(clipped)
        root_mean_square = ops.sqrt(ops.mean(ops.square(ops.concatenate(retention, axis=0))))
        normalised = iter([grad / (root_mean_square + 1e-12) for grad in retention])
        return [next(normalised) if own else next(clipped) for own in self._is_retention]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One update of one variable: Adam (Kingma & Ba 2015), or momentum for retention parameters."""
        index = self._get_variable_index(variable)
        if index in self._retention_indices:
            self._descend(gradient, variable, self._momentums[index])
        elif keras.backend.backend() == "tensorflow":
            self._fused_adam(gradient, variable, index, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _descend(self, gradient: Any, variable: Any, momentum: Any) -> None:
        self.assign_add(momentum, (gradient - momentum) * (1.0 - self.beta_1))
        unbiased = momentum / (1.0 - ops.power(self.beta_1, ops.cast(self.iterations + 1, "float32")))
        self.assign_sub(variable, unbiased * self.retention_rate)

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
