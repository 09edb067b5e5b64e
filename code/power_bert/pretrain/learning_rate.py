"""Learning rate schedules of pre-training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.train.optimizers import LinearWarmupDecay

_START_DIVISOR = 25.0


@keras.saving.register_keras_serializable(package="power_bert")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """One-cycle schedule: half a cosine from peak / 25 up to the peak, then half a cosine down to 0.

    Smith & Topin 2019, in the form of fastai.

    Args:
        peak: Peak learning rate.
        warmup_steps: Number of training steps until the peak, at least 1.
        total_steps: Number of training steps of the whole training, more than `warmup_steps`.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        if not 1 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 1 and below total_steps={total_steps}")
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        start = self.peak / _START_DIVISOR
        rising = start + (self.peak - start) * _half_cosine(step / self.warmup_steps)
        falling = self.peak * _half_cosine((self.total_steps - step) / (self.total_steps - self.warmup_steps))
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}


def _half_cosine(fraction: Any) -> Any:
    """Interpolate from 0 to 1 with zero slope at both ends."""
    return 0.5 - 0.5 * ops.cos(np.pi * ops.clip(fraction, 0.0, 1.0))


def make_schedule(name: str, peak: float, warmup: float, total_steps: int) -> Any:
    """Make the learning rate schedule of a training; with a single training step it is constant.

    Args:
        name: Schedule, "linear" or "one-cycle".
        peak: Peak learning rate.
        warmup: Fraction of the training steps for warmup.
        total_steps: Number of training steps of the whole training.
    """
    if total_steps == 1:
        return peak
    if name == "one-cycle":
        return OneCycle(peak, min(max(1, int(warmup * total_steps)), total_steps - 1), total_steps)
    return LinearWarmupDecay(peak, int(warmup * total_steps), total_steps)
