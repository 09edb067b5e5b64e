"""From a TensorFlow function to a LiteRT model with built-in operations only."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import ConverterError

from power_bert.errors import UserError
from power_bert.export.inference_graph import InferenceFunction
from power_bert.export.model_file import unpack_model
from power_bert.quiet import native_stderr_held_back

# The names by which clients find the inputs, in the order of the file.
INPUT_NAMES = ("ids", "mask", "segment_ids")
OUTPUT_NAME = "probabilities"
PRIMARY_SIGNATURE = "serving_default"
# In the converter's complaint: tf.MatrixDeterminant(tensor<…
_UNSUPPORTED_OPERATION = re.compile(r"^\s*tf\.(\w+)\(", re.MULTILINE)


def convert(function: InferenceFunction, length: int, float16: bool = False) -> schema.ModelT:
    """Convert a function of ids, mask and segment ids, int32 (1, length), to a model in float32.

    Args:
        function: what the model computes.
        length: of its inputs.
        float16: store the weights in float16; they are widened when the model is loaded.

    Raises:
        UserError: the function uses operations that LiteRT has no built-in form of; they are named.
    """
    signature = [tf.TensorSpec((1, length), tf.int32, name=name) for name in INPUT_NAMES]

    def named(ids: Any, mask: Any, segment_ids: Any) -> dict[str, Any]:
        return {OUTPUT_NAME: function(ids, mask, segment_ids)}

    traced = tf.function(named, input_signature=signature, autograph=False).get_concrete_function()
    holder = tf.Module()  # keeps the variables that a Keras model brings, so that the converter freezes them
    holder.variables_of_function = list(traced.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with native_stderr_held_back():
        converted = _convert(converter)
    if isinstance(converted, ConverterError):
        operations = sorted(set(_UNSUPPORTED_OPERATION.findall(str(converted))))
        if not operations:
            raise converted
        raise UserError(
            f"the model cannot be exported: LiteRT has no built-in form of {', '.join(operations)}; "
            "write that part of the model with other operations"
        )
    model = unpack_model(converted)
    _name_inputs(model.subgraphs[0], model.signatureDefs[0])
    return model


def _convert(converter: tf.lite.TFLiteConverter) -> bytes | ConverterError:
    """The converted model, or the converter's complaint."""
    try:
        converted: bytes = converter.convert()
    except ConverterError as error:
        return error
    return converted


def _name_inputs(subgraph: schema.SubGraphT, signature: schema.SignatureDefT) -> None:
    """Put the inputs into the order of INPUT_NAMES and give the tensors the names of the signature."""
    tensors = {entry.name.decode(): entry.tensorIndex for entry in signature.inputs}
    subgraph.inputs = [tensors[name] for name in INPUT_NAMES]
    for entry in (*signature.inputs, *signature.outputs):
        subgraph.tensors[entry.tensorIndex].name = entry.name
