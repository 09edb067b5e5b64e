"""The compiled forward pass of a model, traced once and used for every prediction and measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# Maps the model's inputs by name, three int32 arrays (batch, length), to the backend's output tensor.
Forward = Callable[[dict[str, np.ndarray]], Any]


def compiled_forward(model: keras.Model) -> Forward:
    """Compile the model's inference pass with the active backend; later changes of its weights take effect.

    TensorFlow traces it once for all shapes, whereas `predict` traces anew for each data set. JAX compiles it once for
    each batch shape.

    Args:
        model: Model whose input is a dict of arrays: token_ids, segment_ids, padding_mask, int32 (batch, length), and
            possibly others.

    Raises:
        NotImplementedError: The backend is neither TensorFlow nor JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _compiled_by_tensorflow(model)
    if backend == "jax":
        return _compiled_by_jax(model)
    raise NotImplementedError(f"no compiled forward pass for the Keras backend {backend!r}: use tensorflow or jax")


def _compiled_by_tensorflow(model: keras.Model) -> Forward:
    import tensorflow as tf

    signature = {
        name: tf.TensorSpec((None,) * len(each.shape), each.dtype, name=name) for name, each in model.input.items()
    }
    compiled: Forward = tf.function(
        lambda inputs: model(inputs, training=False), input_signature=[signature], autograph=False
    )
    return compiled


def _compiled_by_jax(model: keras.Model) -> Forward:
    import jax

    def outputs(trainable: list[Any], non_trainable: list[Any], inputs: dict[str, Any]) -> Any:
        return model.stateless_call(trainable, non_trainable, inputs, training=False)[0]

    compiled = jax.jit(outputs)

    def forward(inputs: dict[str, np.ndarray]) -> Any:
        trainable = [variable.value for variable in model.trainable_variables]
        non_trainable = [variable.value for variable in model.non_trainable_variables]
        return compiled(trainable, non_trainable, inputs)

    return forward
