"""What every layer of the project must do, after `run_layer_test` of keras-hub."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from random_weights import randomize

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
Structure = Any  # an array, or nested lists of arrays


def run_layer_test(
    make_layer: Callable[[str], keras.layers.Layer],
    inputs: tuple[Structure, ...],
    folder: Path,
    num_weights: int,
    num_fixed_weights: int = 0,
    output_dtype: str | None = None,
    unmoved: tuple[str, ...] = (),
    has_config: bool = True,
) -> None:
    """Check configuration, building, symbolic and eager calls, precisions, a compiled training step and saving.

    Args:
        make_layer: Makes the layer for a dtype policy; dropout must be 0.
        inputs: Positional arguments of its call: arrays, or lists of arrays.
        folder: Where the layer is saved.
        num_weights: Number of trainable weights.
        num_fixed_weights: Number of weights that are not trained.
        output_dtype: Dtype of the first output; None is the compute dtype of the policy.
        unmoved: Ends of the paths of trainable weights whose gradient is zero for these inputs.
        has_config: Whether the layer can be made from its configuration alone.
    """
    if has_config:
        check_config(make_layer("float32"))
    for policy in POLICIES:
        layer = make_layer(policy)
        check_calls(layer, inputs, output_dtype or layer.compute_dtype)
        assert layer.built
        assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (num_weights, num_fixed_weights)
        assert {weight.dtype for weight in layer.weights} <= {"float32"}
    layer = make_layer("float32")
    layer(*inputs)
    randomize(layer)
    if has_config:
        check_saving(layer, inputs, folder / "layer.keras")
    check_training_step(layer, inputs, unmoved)


def check_config(layer: Any) -> None:
    """The configuration names every constructor argument, is plain JSON and makes an equal layer."""
    config = layer.get_config()
    constructor = type(layer).__init__
    if constructor.__module__.startswith("power_bert"):  # else Keras tests it
        assert set(inspect.signature(constructor).parameters) - {"self", "args", "kwargs"} <= config.keys()
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    twins = (keras.saving.deserialize_keras_object(stored), type(layer).from_config(json.loads(json.dumps(config))))
    for twin in twins:
        assert type(twin) is type(layer)
        assert json.dumps(twin.get_config()) == json.dumps(config)


def check_calls(layer: Any, inputs: tuple[Structure, ...], output_dtype: str) -> None:
    """A symbolic call, with known and with unknown lengths, promises what the eager call gives; values are finite."""
    known = tree.flatten(layer(*symbolic(inputs)))
    unknown = tree.flatten(layer(*symbolic(inputs, known_dims=False)))
    eager = tree.flatten(layer(*inputs))
    assert keras.backend.standardize_dtype(eager[0].dtype) == output_dtype
    for promise, open_promise, output in zip(known, unknown, eager, strict=True):
        dtype = keras.backend.standardize_dtype(output.dtype)
        assert (tuple(promise.shape), promise.dtype) == (tuple(output.shape), dtype)
        assert len(open_promise.shape) == len(output.shape) and open_promise.dtype == dtype
        assert all(dim in (None, size) for dim, size in zip(open_promise.shape, output.shape, strict=True))
        assert np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))).all()


def check_saving(layer: Any, inputs: tuple[Structure, ...], path: Path) -> None:
    """The layer in a `.keras` file comes back with equal weights and gives equal outputs."""
    arguments = tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), list(inputs))
    keras.Model(tree.flatten(arguments), layer(*arguments)).save(path)
    loaded = keras.saving.load_model(path)
    (twin,) = (each for each in loaded.layers if type(each) is type(layer))
    for weight, stored in zip(layer.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(weight, stored, err_msg=weight.path)
    for output, expected in zip(tree.flatten(twin(*inputs)), tree.flatten(layer(*inputs)), strict=True):
        np.testing.assert_array_equal(output, expected)


def check_training_step(layer: Any, inputs: tuple[Structure, ...], unmoved: tuple[str, ...]) -> None:
    """One compiled step moves every trainable weight, and reaches what is below the layer, by a finite gradient."""
    model = TrainedLayer(layer, has_gain=any(is_float(array) for array in tree.flatten(inputs)))
    model.compile(keras.optimizers.SGD(0.1))
    before = [np.array(weight) for weight in model.trainable_weights]
    model.fit(list(inputs), batch_size=len(inputs[0]), verbose=0)
    still = []
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.isfinite(np.array(weight)).all(), weight.path
        if np.abs(np.array(weight) - old).max() < 1e-7:  # rounding alone moves a weight by less
            still.append(weight.path)
    assert [path for path in still if not path.endswith(unmoved)] == []


class TrainedLayer(keras.Model):
    """Trains a layer on inputs times a trainable gain, to minimize the mean sine of its outputs."""

    def __init__(self, layer: Any, has_gain: bool) -> None:
        super().__init__()
        self.layer = layer
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain") if has_gain else None
        self.takes_training = "training" in inspect.signature(layer.call).parameters

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        scaled = tree.map_structure(lambda x: x * self.gain if is_float(x) else x, list(inputs))
        return self.layer(*scaled, **({"training": training} if self.takes_training else {}))

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> Any:
        return sum(ops.mean(ops.sin(output)) for output in tree.flatten(y_pred))


def symbolic(inputs: tuple[Structure, ...], known_dims: bool = True) -> list[Structure]:
    """Symbolic inputs of the same shapes; without `known_dims` only the size of a vector is known."""

    def of(array: np.ndarray) -> keras.KerasTensor:
        open_shape = tuple(None if axis < 2 and array.ndim > 1 else size for axis, size in enumerate(array.shape))
        return keras.KerasTensor(array.shape if known_dims else open_shape, str(array.dtype))

    return tree.map_structure(of, list(inputs))  # type: ignore[no-any-return]


def is_float(array: Any) -> bool:
    return "float" in keras.backend.standardize_dtype(array.dtype)
