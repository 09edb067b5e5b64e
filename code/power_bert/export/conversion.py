"""Conversion of a TensorFlow function to a LiteRT model that uses built-in operations only."""

from __future__ import annotations

import re

import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import ConverterError

from power_bert.errors import UserError
from power_bert.export.inference_graph import InferenceFunction
from power_bert.export.model_file import unpack_model
from power_bert_runtime.contents import INPUT_NAMES, OUTPUT_NAME, SURVIVING_TOKENS
from power_bert_runtime.native_stderr import native_stderr_held_back

# The converter's error has lines such as "tf.MatrixDeterminant(tensor<…".
_UNSUPPORTED_OPERATION = re.compile(r"^\s*tf\.(\w+)\(", re.MULTILINE)


def convert(function: InferenceFunction, length: int, float16: bool = False) -> schema.ModelT:
    """Convert a function of ids, mask and segment ids, int32 (1, length), to a model in float32.

    Args:
        function: Function to convert.
        length: Sequence length of the inputs, in tokens.
        float16: Whether to store the weights in float16; the runtime widens them to float32 when it loads the model.

    Returns:
        A model with one subgraph and the signature `PRIMARY_SIGNATURE`.

    Raises:
        UserError: The function uses operations that LiteRT has no built-in form of; the message names them.
    """
    signature = [tf.TensorSpec((1, length), tf.int32, name=name) for name in INPUT_NAMES]
    traced = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    # The converter freezes only variables that the tracked module holds, such as those of a Keras student.
    holder = tf.Module()
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
    _name_tensors(model.subgraphs[0], model.signatureDefs[0])
    return model


def _convert(converter: tf.lite.TFLiteConverter) -> bytes | ConverterError:
    """Return the converted model, or the converter's error."""
    try:
        converted: bytes = converter.convert()
    except ConverterError as error:
        return error
    return converted


def _name_tensors(subgraph: schema.SubGraphT, signature: schema.SignatureDefT) -> None:
    """Put inputs and outputs in the order of the metadata and name the tensors as the signature does."""
    entries = (*signature.inputs, *signature.outputs)
    tensors = {entry.name.decode(): entry.tensorIndex for entry in entries}
    subgraph.inputs = [tensors[name] for name in INPUT_NAMES]
    subgraph.outputs = [tensors[name] for name in (OUTPUT_NAME, SURVIVING_TOKENS) if name in tensors]
    for entry in entries:
        subgraph.tensors[entry.tensorIndex].name = entry.name
