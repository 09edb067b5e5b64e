"""Loss weights and temperatures that change during training."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from power_bert.config.values import Schedule

Tensor = Any


def scheduled(schedule: Schedule, progress: Tensor) -> Tensor:
    """Compute the value of a schedule, a float32 scalar.

    Args:
        schedule: Schedule of the value.
        progress: Progress of the training: 0 at the first training step, 1 at the last.
    """
    if schedule.shape == "constant":
        return ops.convert_to_tensor(schedule.start, "float32")
    progress = ops.clip(ops.cast(progress, "float32"), 0.0, 1.0)
    fraction = progress if schedule.shape == "linear" else (1.0 - ops.cos(math.pi * progress)) / 2.0
    return schedule.start + (schedule.end - schedule.start) * fraction
