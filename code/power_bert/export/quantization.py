"""Weights and activations in 8 bits, as LiteRT's kernels for processors take them.

`dynamic`: weights of dense layers in int8, a scale an output channel; activations stay float32 in the file and are
quantised row by row when the model runs. `int8`: activations are int8 in the file as well, with ranges from calibration
(Jacob et al. 2018, arXiv 1712.05877), but where calibration shows that one range does not serve all rows: a BERT's
feed-forward layers have rows and channels a hundred times the others, which would leave those no bits. These layers are
quantised as in `dynamic`. Embedding tables are int8 in both, a scale a row.

Not the converter's own modes: its full-integer mode puts layer norms and softmax into int8 too, which made noise of
MiniLM's predictions, and its dynamic mode has one scale for a whole embedding table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from power_bert.export.calibration import ObservedRange
from power_bert.export.graph_editor import GraphEditor

_DENSE = "FULLY_CONNECTED"
_LARGEST_INT8 = 127
_SMALLEST_SCALE = 1e-8
# One scale serves all rows where the whole range is at most so many times that of a usual row: 1.6 bits are lost. On
# MiniLM and MRPC the error grows from there on: mean difference of probabilities 0.005 at 2, 0.007 at 3, 0.012 at 6 and
# 0.10 without a limit (0.004 where all is row by row).
_LARGEST_STRETCH = 3.0
# Float constants of at least so many values are stored in int8 (position embeddings, masks).
_LARGE_CONSTANT = 4096
# Versions of the operators that first took what is asked of them here.
_VERSIONS = {"EMBEDDING_LOOKUP": 3, "QUANTIZE": 1, "DEQUANTIZE": 2, _DENSE: 12}


def dense_activations(model: schema.ModelT) -> list[int]:
    """Tensors whose ranges static quantisation needs: inputs and outputs of the dense layers with constant weights."""
    editor = GraphEditor(model)
    dense = [operator for operator in editor.subgraph.operators if _is_constant_dense(editor, operator)]
    return sorted({int(tensor) for operator in dense for tensor in (operator.inputs[0], operator.outputs[0])})


def quantize(model: schema.ModelT, ranges: Mapping[int, ObservedRange] | None = None) -> None:
    """Quantise a float32 model in place.

    Args:
        model: with one subgraph.
        ranges: tensor → its values, for those of `dense_activations`: static quantisation; None: dynamic.
    """
    editor = GraphEditor(model)
    int8_inputs: dict[int, int] = {}

    def replace(operator: schema.OperatorT) -> list[schema.OperatorT]:
        if _is_table_lookup(editor, operator):
            table, positions = operator.inputs
            return [_int8_lookup(editor, table, positions, operator.outputs[0])]
        if not _is_constant_dense(editor, operator):
            return _with_int8_constants(editor, operator)
        source, output = int(operator.inputs[0]), int(operator.outputs[0])
        if ranges is None or max(ranges[source].stretch, ranges[output].stretch) > _LARGEST_STRETCH:
            return [_int8_weights(editor, operator)]
        return _static_int8(editor, operator, ranges, int8_inputs)

    editor.rewrite(replace)


def _is_constant_dense(editor: GraphEditor, operator: schema.OperatorT) -> bool:
    return editor.name_of(operator) == _DENSE and editor.is_constant(operator.inputs[1])


def _is_table_lookup(editor: GraphEditor, operator: schema.OperatorT) -> bool:
    """Whether rows of a constant table are gathered by a vector of positions."""
    if editor.name_of(operator) != "GATHER" or not editor.is_constant(operator.inputs[0]):
        return False
    table, positions = (editor.subgraph.tensors[tensor] for tensor in operator.inputs)
    return table.type == schema.TensorType.FLOAT32 and len(table.shape) == 2 and len(positions.shape) == 1


def _by_row(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 values (rows, columns) and the scale of each row (rows,)."""
    scales = np.maximum(np.abs(values).max(axis=1) / _LARGEST_INT8, _SMALLEST_SCALE)
    return np.rint(values / scales[:, None]).astype(np.int8), scales


def _int8_lookup(editor: GraphEditor, table: int, positions: int, output: int) -> schema.OperatorT:
    """EMBEDDING_LOOKUP takes a table in int8 with a scale a row and gives float32, which GATHER does not."""
    values, scales = _by_row(editor.constant(table))
    return _make(editor, "EMBEDDING_LOOKUP", [positions, editor.add_constant("table_int8", values, scales)], [output])


def _with_int8_constants(editor: GraphEditor, operator: schema.OperatorT) -> list[schema.OperatorT]:
    """An operator whose large float constants are looked up, row by row in order, in int8 tables."""
    lookups, inputs = [], operator.inputs.copy()
    for place, tensor in enumerate(operator.inputs):
        if tensor < 0 or not editor.is_constant(tensor):
            continue
        constant = editor.subgraph.tensors[tensor]
        if constant.type != schema.TensorType.FLOAT32 or len(constant.shape) != 2:
            continue
        if np.prod(constant.shape) >= _LARGE_CONSTANT:
            rows = editor.add_constant("rows", np.arange(constant.shape[0], dtype=np.int32))
            widened = editor.add_tensor("table", constant.shape, np.float32)
            lookups.append(_int8_lookup(editor, tensor, rows, widened))
            inputs[place] = widened
    operator.inputs = inputs
    return [*lookups, operator]


def _int8_weights(editor: GraphEditor, dense: schema.OperatorT) -> schema.OperatorT:
    values, scales = _by_row(editor.constant(dense.inputs[1]))
    weights = editor.add_constant("weights_int8", values, scales)
    inputs = [dense.inputs[0], weights, *dense.inputs[2:]]
    return _make(editor, _DENSE, inputs, dense.outputs, dense.builtinOptions)


def _static_int8(
    editor: GraphEditor, dense: schema.OperatorT, ranges: Mapping[int, ObservedRange], int8_inputs: dict[int, int]
) -> list[schema.OperatorT]:
    """QUANTIZE (once a tensor), the layer in int8, DEQUANTIZE."""
    source, output = int(dense.inputs[0]), int(dense.outputs[0])
    operators = []
    if source not in int8_inputs:
        int8_inputs[source] = _int8_activation(editor, source, ranges[source])
        operators.append(_make(editor, "QUANTIZE", [source], [int8_inputs[source]]))
    int8_output = _int8_activation(editor, output, ranges[output])
    values, scales = _by_row(editor.constant(dense.inputs[1]))
    bias_scales = scales * editor.subgraph.tensors[int8_inputs[source]].quantization.scale[0]
    bias = np.rint(_bias(editor, dense) / bias_scales).astype(np.int32)
    weights = editor.add_constant("weights_int8", values, scales)
    inputs = [int8_inputs[source], weights, editor.add_constant("bias_int32", bias, bias_scales)]
    return [
        *operators,
        _make(editor, _DENSE, inputs, [int8_output], dense.builtinOptions),
        _make(editor, "DEQUANTIZE", [int8_output], [output]),
    ]


def _make(
    editor: GraphEditor, name: str, inputs: list[int], outputs: list[int], options: object = None
) -> schema.OperatorT:
    return editor.make_operator(name, _VERSIONS[name], inputs, outputs, options)


def _int8_activation(editor: GraphEditor, like: int, observed: ObservedRange) -> int:
    """An int8 tensor that spreads its values over the whole range and has an exact 0."""
    scale = max((observed.largest - observed.smallest) / 255, _SMALLEST_SCALE)
    shape = editor.subgraph.tensors[like].shape
    return editor.add_tensor(
        "activation_int8", shape, np.int8, np.array([scale]), round(-128 - observed.smallest / scale)
    )


def _bias(editor: GraphEditor, dense: schema.OperatorT) -> np.ndarray:
    """(outputs,); zeros where the layer has none."""
    if len(dense.inputs) > 2 and dense.inputs[2] >= 0:
        return editor.constant(dense.inputs[2])
    return np.zeros(editor.subgraph.tensors[dense.inputs[1]].shape[0], np.float32)
