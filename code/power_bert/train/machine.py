"""Determinism, and a description of the machine and libraries of a training."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras

_RECORDED_PACKAGES = ("tensorflow", "jax", "keras", "keras-hub", "tokenizers", "numpy", "scikit-learn", "scipy")


def make_deterministic() -> None:
    """Make TensorFlow's operations deterministic; JAX's are by default."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def describe_machine() -> dict[str, Any]:
    """Return versions, machine and backend, as needed to reproduce figures."""
    packages = {}
    for name in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):  # JAX or TensorFlow may not be installed.
            packages[name] = version(name)
    return {
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "packages": packages,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
    }
