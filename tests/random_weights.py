"""Random weights for models, far from their start."""

import zlib
from typing import Any, TypeVar

import numpy as np

Model = TypeVar("Model")


def randomize(model: Model, seed: int = 1, deviation: float = 0.5, retention: bool = True) -> Model:
    """Assign random weights, so that no attention is uniform; retention parameters descend. Returns the model.

    A weight depends on the seed and its own path alone: encoders that differ in their extraction have the same weights.

    Args:
        model: Any Keras layer or model that is built.
        seed: Random seed.
        deviation: Standard deviation of kernels, tables and biases.
        retention: Whether retention parameters are assigned too.
    """
    weights: list[Any] = model.weights  # type: ignore[attr-defined]
    for variable in weights:
        generator = np.random.default_rng([seed, zlib.crc32(variable.path.encode())])
        value = generator.normal(0.0, deviation, variable.shape)
        if variable.name == "similarity_scale":
            value = generator.uniform(0.5, 1.5, variable.shape)
        elif variable.name == "gamma":
            value = 1.0 + 0.4 * value
        elif variable.name == "retention":
            value = np.sort(generator.uniform(0.0, 1.0, variable.shape))[::-1].copy()
            value[0] = 1.0 if len(value) > 1 else 0.6
        if retention or variable.name != "retention":
            variable.assign(value.astype("float32"))
    return model
