"""The machine and the libraries of a training, and making it repeatable."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras

_RECORDED_PACKAGES = ("tensorflow", "jax", "keras", "keras-hub", "tokenizers", "numpy", "scikit-learn", "scipy")


def make_deterministic() -> None:
    """The same weights from the same seed: TensorFlow's operations are told so, JAX's are anyway."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def describe_machine() -> dict[str, Any]:
    """Versions, machine and backend: what someone needs to reproduce figures."""
    packages = {}
    for name in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):  # JAX or TensorFlow may be absent
            packages[name] = version(name)
    return {
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "packages": packages,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
    }
