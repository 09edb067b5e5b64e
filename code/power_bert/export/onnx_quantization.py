"""int8 quantization of ONNX models by ONNX Runtime's tools.

`dynamic`: weights of dense layers are int8, with a scale for each output channel; activations are quantized when they
run, with one range for the whole batch, so that a prediction depends a little on the texts beside it. `int8`: the
ranges of the activations come from calibration on training examples. The largest table of embeddings is int8 in both,
with a scale for each row (`OnnxBuilder.lookup`).

Products of two activations (attention, significance) and the choice of tokens stay in float32. If a file still differs
too much from Keras, queries and keys of the blocks that eliminate tokens are protected: they stay in float32 too,
because a small error of the attention can turn which tokens are chosen.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from power_bert_runtime.batching import batch_inputs
from power_bert_runtime.encoded_texts import EncodedTexts

_CHOOSES_TOKENS = re.compile(r"(.*block_\d+)/TopK")


def choosing_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the dense layers on which the choice of tokens rests: queries and keys of such blocks."""
    blocks = [match[1] for node in model.graph.node if (match := _CHOOSES_TOKENS.match(node.name))]
    return [f"{block}/{layer}" for block in blocks for layer in ("query", "key")]


def _dense_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the products with constant weights."""
    constants = {constant.name for constant in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in constants]


def quantize_onnx(
    model: onnx.ModelProto, encoded: EncodedTexts | None, protected: Sequence[str] = ()
) -> onnx.ModelProto:
    """Return a model whose dense layers compute in int8.

    Args:
        model: Model in float32.
        encoded: Calibration examples for `int8`; None for `dynamic`.
        protected: Names of dense layers that stay in float32.
    """
    from onnxruntime import quantization

    shared: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul"],
        "nodes_to_quantize": [name for name in _dense_nodes(model) if name not in protected],
        "per_channel": True,
        "weight_type": quantization.QuantType.QInt8,
    }
    options: dict[str, Any] = {"DefaultTensorType": TensorProto.FLOAT}
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantized.onnx"
            if encoded is None:
                quantization.quantize_dynamic(model, path, extra_options=options, **shared)
            else:
                # The sums of products stay in float32, so that the bias is added without another rounding.
                options |= {"OpTypesToExcludeOutputQuantization": ["MatMul"], "DedicatedQDQPair": True}
                model = _with_inputs_of_their_own(model, shared["nodes_to_quantize"])
                quantization.quantize_static(model, path, _Examples(encoded), extra_options=options, **shared)
            quantized = onnx.load(path)
    finally:
        logging.disable(logging.NOTSET)
    return quantized if encoded is None else _with_integer_products(quantized)


def _with_inputs_of_their_own(model: onnx.ModelProto, dense: Sequence[str]) -> onnx.ModelProto:
    """Return a model whose dense layers read copies of their inputs, which ONNX Runtime removes when it loads a file.

    ONNX Runtime's tool rounds a value for all that read it; so the residual connection reads what is not rounded.
    """
    separated = onnx.ModelProto()
    separated.CopyFrom(model)
    del separated.graph.node[:]
    copied: set[str] = set()
    for node in model.graph.node:
        if node.name in dense:
            source = node.input[0]
            if source not in copied:
                copied.add(source)
                copy = onnx.helper.make_node("Identity", [source], [f"{source}:copy"], name=f"{source}:copy")
                separated.graph.node.append(copy)
            node = onnx.helper.make_node("MatMul", [f"{source}:copy", node.input[1]], node.output, name=node.name)
        separated.graph.node.append(node)
    return separated


def _with_integer_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each product of dequantized values by one product of integers.

    When ONNX Runtime loads a file it does the same, except where several products read the same value, as queries, keys
    and values do.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}

    def dequantized(node: onnx.NodeProto) -> list[list[str]]:
        sources = [made_by.get(value) for value in node.input]
        return [list(source.input) for source in sources if source is not None and source.op_type == "DequantizeLinear"]

    nodes = []
    for node in model.graph.node:
        parts = dequantized(node) if node.op_type == "MatMul" else []
        if len(parts) == 2:
            (values, scale, zero), (weights, weight_scale, weight_zero) = parts
            node = onnx.helper.make_node(
                "MatMulIntegerToFloat",
                [values, weights, scale, weight_scale, zero, weight_zero],
                node.output,
                name=node.name,
                domain="com.microsoft",
            )
        nodes.append(node)
    used = {value for node in nodes for value in node.input}
    del model.graph.node[:]
    model.graph.node.extend(node for node in nodes if node.op_type != "DequantizeLinear" or node.output[0] in used)
    return model


class _Examples:
    """Reader of calibration examples, one at a time without padding, as ONNX Runtime asks for them."""

    def __init__(self, encoded: EncodedTexts) -> None:
        self._encoded = encoded
        self._inputs = self._examples()

    def _examples(self) -> Iterator[dict[str, np.ndarray]]:
        for row, length in enumerate(self._encoded.lengths.tolist()):
            yield batch_inputs(self._encoded, np.array([row]), length)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)

    def __len__(self) -> int:
        return len(self._encoded)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Rewind to a part of the examples."""
        part = list(range(start_index, min(end_index, len(self._encoded))))
        self._inputs = (batch_inputs(self._encoded, np.array([row]), int(self._encoded.lengths[row])) for row in part)
