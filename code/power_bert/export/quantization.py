"""int8 quantization of weights and activations for LiteRT's CPU kernels.

`dynamic`: the weights of dense layers are int8, with a scale for each output channel. Activations are float32 in the
file; LiteRT quantizes each row at run time. `int8`: activations are int8 in the file as well, with ranges from
calibration (Jacob et al. 2018, arXiv 1712.05877), except in layers where calibration shows that one range does not suit
all rows. In BERT's feed-forward layers some rows and channels are a hundred times larger than the others, which would
be rounded to almost nothing; these layers are quantized as in `dynamic`. Embedding tables are int8 in both forms, with
a scale for each row.

The converter's own modes are not used: its full-integer mode also quantizes layer norms and softmax, which turned
MiniLM's predictions into noise, and its dynamic mode has one scale for a whole embedding table.

ai-edge-quantizer 0.10.0, with a recipe for each layer that follows the same rule, is not better. File size in MB, label
agreement with Keras and dev score (Matthews; Keras 23.25 and 29.47) of two PoWER-BERT runs of MiniLM, one seed each, on
the generated sample (500 dev examples) and CoLA (1043 dev examples), 1000 calibration examples:

    form      by            sample                   CoLA
    dynamic   this module   23.19   98.60 %  23.80   23.16   98.75 %  29.65
    dynamic   the library   23.43   99.20 %  25.40   23.40   98.95 %  29.21
    int8      this module   23.23   97.60 %  23.38   23.21   98.37 %  27.50
    int8      the library   23.56   97.60 %  26.48   23.56   97.51 %  27.58

In `dynamic` the library has 3 and 2 more equal labels (on 326 texts from elsewhere 7 and 1 fewer), in `int8` 0 and 9
fewer. Its int8 without the rule agrees on 87.20 % and 91.85 %. It has no `dynamic` form of GATHER
(files of 58.2 MB), so GATHER was rewritten for it as in `_int8_lookup`. Its calibration takes several times as long and
does not measure the rows that the rule needs. It would replace about 100 lines here and in graph_editor.py by 25, and
require two more packages, one of which pins ai-edge-litert to a single version.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from power_bert.export.calibration import ObservedRange
from power_bert.export.graph_editor import GraphEditor
from power_bert.model.int8_weights import SMALLEST_SCALE, int8_scales

_DENSE = "FULLY_CONNECTED"
# A layer gets one scale for all rows if the whole range is at most this many times that of a median row, which costs
# 1.6 bits. Beyond it the error grows: the mean difference of probabilities on MRPC (MiniLM) is 0.005 at 2, 0.007 at 3,
# 0.012 at 6 and 0.10 without a limit; with a scale for each row it is 0.004.
_LARGEST_STRETCH = 3.0
# Float constants of at least this many values are stored in int8 (position embeddings, masks).
_LARGE_CONSTANT = 4096
# The first version of each operator that supports this use.
_VERSIONS = {"EMBEDDING_LOOKUP": 3, "QUANTIZE": 1, "DEQUANTIZE": 2, _DENSE: 12}


def dense_activations(model: schema.ModelT) -> list[int]:
    """Return the tensors whose ranges `int8` needs: inputs and outputs of the dense layers with constant weights."""
    editor = GraphEditor(model)
    dense = [operator for operator in editor.subgraph.operators if _is_constant_dense(editor, operator)]
    return sorted({int(tensor) for operator in dense for tensor in (operator.inputs[0], operator.outputs[0])})


def quantize(model: schema.ModelT, ranges: Mapping[int, ObservedRange] | None = None) -> None:
    """Quantize a float32 model in place.

    Args:
        model: Model with one subgraph.
        ranges: For `int8`, the range of each tensor of `dense_activations`; None for `dynamic`.
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
    """Return whether the operator gathers rows of a constant table by a vector of positions."""
    if editor.name_of(operator) != "GATHER" or not editor.is_constant(operator.inputs[0]):
        return False
    table, positions = (editor.subgraph.tensors[tensor] for tensor in operator.inputs)
    return table.type == schema.TensorType.FLOAT32 and len(table.shape) == 2 and len(positions.shape) == 1


def _by_row(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize symmetrically: int8 values (rows, columns) and the scale of each row (rows,)."""
    scales = int8_scales(values, 1, np)
    return np.rint(values / scales).astype(np.int8), scales[:, 0]


def _int8_lookup(editor: GraphEditor, table: int, positions: int, output: int) -> schema.OperatorT:
    """Make an EMBEDDING_LOOKUP: unlike GATHER it takes an int8 table with a scale for each row and gives float32."""
    values, scales = _by_row(editor.constant(table))
    return _make(editor, "EMBEDDING_LOOKUP", [positions, editor.add_constant("table_int8", values, scales)], [output])


def _with_int8_constants(editor: GraphEditor, operator: schema.OperatorT) -> list[schema.OperatorT]:
    """Return the operator, preceded by lookups that read its large float constants from int8 tables, row by row."""
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
    """Make QUANTIZE (once for each input tensor), the dense layer in int8, and DEQUANTIZE."""
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
    """Add an int8 tensor whose scale covers the observed range and which represents 0 exactly."""
    scale = max((observed.largest - observed.smallest) / 255, SMALLEST_SCALE)
    shape = editor.subgraph.tensors[like].shape
    return editor.add_tensor(
        "activation_int8", shape, np.int8, np.array([scale]), round(-128 - observed.smallest / scale)
    )


def _bias(editor: GraphEditor, dense: schema.OperatorT) -> np.ndarray:
    """Return the bias of a dense layer (outputs,), zeros if it has none."""
    if len(dense.inputs) > 2 and dense.inputs[2] >= 0:
        return editor.constant(dense.inputs[2])
    return np.zeros(editor.subgraph.tensors[dense.inputs[1]].shape[0], np.float32)
