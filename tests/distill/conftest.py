"""Gradients on the backend in use, and by finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def gradient() -> Callable[..., np.ndarray]:
    """The gradient of the sum of a function's values with respect to its float array, by the backend."""

    def compute(function: Callable[[Any], Any], array: np.ndarray) -> np.ndarray:
        import keras

        if keras.backend.backend() == "jax":
            import jax

            return np.asarray(jax.grad(lambda value: keras.ops.sum(function(value)))(jax.numpy.asarray(array)))
        import tensorflow as tf

        tensor = tf.convert_to_tensor(array)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            total = keras.ops.sum(function(tensor))
        return np.asarray(tape.gradient(total, tensor))

    return compute


@pytest.fixture(scope="session")
def finite_differences() -> Callable[..., np.ndarray]:
    """The same from a NumPy function in float64, by central differences."""

    def compute(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
        values = np.asarray(array, np.float64)
        result = np.zeros_like(values)
        for index in np.ndindex(*values.shape):
            shift = np.zeros_like(values)
            shift[index] = step
            result[index] = (function(values + shift).sum() - function(values - shift).sum()) / (2 * step)
        return result

    return compute
