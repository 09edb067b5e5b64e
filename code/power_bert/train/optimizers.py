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
    """AdamW that updates retention parameters at a rate of their own and never decays them.

    Biases, layer norms and learned similarity scales are not decayed either (Devlin et al. 2019). On TensorFlow each
    variable is updated by one fused operation, which reads and writes the big embedding table once and not five
    times; other backends compile the update themselves.

    Args:
        learning_rate: a number or a schedule, for all but the retention parameters.
        retention_rate: rate of the retention parameters. It is constant: Adam moves a parameter by about the rate
            an update whatever the size of its gradient, so a decaying rate would bound how much a search of few
            updates can eliminate, whatever λ.
    """

    def __init__(self, learning_rate: Any = 3e-5, retention_rate: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.retention_rate = retention_rate
        self._retention_indices: set[int] = set()

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._retention_indices = {
            index for index, variable in enumerate(variables) if variable.path.endswith("/retention")
        }
        undecayed = [variable for variable in variables if len(variable.shape) == 1]
        if undecayed:
            self.exclude_from_weight_decay(var_list=undecayed)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # The gradient of an embedding table comes as slices; clipping needs its true norm.
            grads = [None if grad is None else tf.convert_to_tensor(grad) for grad in grads]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One Adam update of one variable (Kingma & Ba 2015, algorithm 1 with the rate of section 2)."""
        index = self._get_variable_index(variable)
        if index in self._retention_indices:
            learning_rate = self.retention_rate
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
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
