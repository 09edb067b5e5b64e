"""int8 quantization of ONNX models by ONNX Runtime's tools.

`dynamic`: weights of dense layers are int8, with a scale for each output channel; activations are quantized when they
run, with one range for the whole batch, so that a prediction depends a little on the texts beside it. `int8`: the
ranges of the activations come from calibration on training examples, after SmoothQuant has made their channels more
alike. The largest table of embeddings is int8 in both, with a scale for each row (`OnnxBuilder.lookup`).

Products of two activations (attention, significance) and the choice of tokens stay in float32. If a file still differs
too much from Keras, queries and keys of the blocks that eliminate tokens are protected: they stay in float32 too,
because a small error of the attention can turn which tokens are chosen.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from power_bert_runtime.batching import batch_inputs
from power_bert_runtime.cores import available_cores
from power_bert_runtime.encoded_texts import EncodedTexts

# SmoothQuant: how much of the difficulty goes from activations to weights. On MRPC (MiniLM, 408 dev examples) the mean
# difference of a probability to float32 is 0.017 without, 0.034 with 0.5, 0.0105 with 0.7, 0.009 with 0.8 and 0.9; of a
# model with a third of the FLOPs 0.016, 0.023, 0.012, 0.010 and 0.0105.
_ALPHA = 0.8
_SMALLEST = 1e-5
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
                # ONNX Runtime has fast products on x86 for unsigned activations alone.
                shared["activation_type"] = quantization.QuantType.QUInt8
                model = _smoothed(model, shared["nodes_to_quantize"], encoded)
                quantization.quantize_static(model, path, _Examples(encoded), extra_options=options, **shared)
            quantized = onnx.load(path)
    finally:
        logging.disable(logging.NOTSET)
    return quantized if encoded is None else _with_integer_products(quantized)


def _smoothed(model: onnx.ModelProto, dense: Sequence[str], encoded: EncodedTexts) -> onnx.ModelProto:
    """Return a model whose dense layers read scaled copies of their inputs (SmoothQuant, Xiao et al. 2023, equation 4).

    Channel j of an input is divided by s_j = max|X_j|^α / max|W_j|^(1 − α), and row j of the weights multiplied by it.
    Some channels of BERT's hidden states are a hundred times larger than the others, which one range for all channels
    rounds to almost nothing. Other readers of the input, such as the residual connection, get it as it was.

    Args:
        model: Model in float32.
        dense: Names of the dense layers.
        encoded: Calibration examples.
    """
    layers = [node for node in model.graph.node if node.name in dense]
    kernels = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    scales = {}
    for source, largest in _largest_by_channel(model, {node.input[0] for node in layers}, encoded).items():
        weights = np.max([np.abs(kernels[node.input[1]]).max(axis=1) for node in layers if node.input[0] == source], 0)
        scales[source] = np.maximum(largest, _SMALLEST) ** _ALPHA / np.maximum(weights, _SMALLEST) ** (1 - _ALPHA)
    smoothed = onnx.ModelProto()
    smoothed.CopyFrom(model)
    del smoothed.graph.node[:], smoothed.graph.initializer[:]
    constants = {constant.name: constant for constant in model.graph.initializer}
    for source, scale in scales.items():
        constants[f"{source}:scale"] = numpy_helper.from_array((1 / scale).astype(np.float32), f"{source}:scale")
    scaled: set[str] = set()
    for node in model.graph.node:
        if node.name in dense:
            source, kernel = node.input
            if source not in scaled:
                scaled.add(source)
                inputs, outputs = [source, f"{source}:scale"], [f"{source}:scaled"]
                smoothed.graph.node.append(helper.make_node("Mul", inputs, outputs, name=outputs[0]))
            rows = (kernels[kernel] * scales[source][:, None]).astype(np.float32)
            constants[f"{node.name}:kernel"] = numpy_helper.from_array(rows, f"{node.name}:kernel")
            inputs = [f"{source}:scaled", f"{node.name}:kernel"]
            node = helper.make_node("MatMul", inputs, node.output, name=node.name)
        smoothed.graph.node.append(node)
    used = {value for node in smoothed.graph.node for value in node.input}
    smoothed.graph.initializer.extend(constant for name, constant in constants.items() if name in used)
    return smoothed


def _largest_by_channel(
    model: onnx.ModelProto, values: Collection[str], encoded: EncodedTexts
) -> dict[str, np.ndarray]:
    """Return the largest magnitude in each channel of some values over the examples: name → (channels,)."""
    from power_bert_runtime.onnx_engine import make_session

    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    names = sorted(values)
    observed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = make_session(observed.SerializeToString(), available_cores())
    largest: dict[str, np.ndarray] = {}
    for inputs in _Examples(encoded).all():
        for name, value in zip(names, session.run(names, inputs), strict=True):
            of_example = np.abs(value).reshape(-1, value.shape[-1]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, of_example), of_example)
    return largest


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
            node = helper.make_node(
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
        self._inputs = self.all()

    def all(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the inputs of every example."""
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
