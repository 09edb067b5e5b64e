"""Fusion of operators by ONNX Runtime's optimizers, and what came of it.

`fuse` runs the optimizer for transformers, which puts attention, GELU and layer norm into single operators of ONNX
Runtime. Attention of a block that eliminates tokens cannot be fused: the choice of tokens needs its probabilities,
which the fused operator does not return. When a file is loaded, ONNX Runtime fuses further.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper, shape_inference

from power_bert.model.backbone import PowerBertBackbone
from power_bert_runtime.onnx_engine import make_session

_RUNTIME_DOMAIN = "com.microsoft"
# Operators that stand for a fused pattern, in the words of the report.
_FUSED = {
    "attention": ("MultiHeadAttention", "Attention"),
    "layer norm with residual": ("SkipLayerNormalization",),
    "GELU with bias": ("BiasGelu",),
    "int8 product": ("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QLinearMatMul"),
}


def fuse(model: onnx.ModelProto, backbone: PowerBertBackbone) -> onnx.ModelProto:
    """Return the model of an encoder with fused operators.

    Args:
        model: Model in float32, as made by `onnx_model`.
        backbone: Encoder that it was made from.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    inputs = list(model.graph.input)
    types = {value.name: value for value in shape_inference.infer_shapes(model).graph.value_info}
    options = FusionOptions("bert")
    # With queries, keys and values in three products, as int8 quantization needs them.
    options.use_multi_head_attention = True
    # The fused operator is the exact GELU.
    options.enable_bias_gelu = backbone.activation != "gelu_tanh"
    level = logging.getLogger("onnxruntime").level
    logging.getLogger("onnxruntime").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    try:
        # Heads and widths that differ from block to block are found in the graph (0).
        sizes = (backbone.num_heads, backbone.hidden_dim) if isinstance(backbone.num_heads, int) else (0, 0)
        with _shape_failures_hidden():
            fused: onnx.ModelProto = optimize_model(model, "bert", *sizes, options, opt_level=0).model
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger("onnxruntime").setLevel(level)
    # The optimizer removes an input that is not used, such as the segments of an encoder that has only one.
    kept = {value.name for value in fused.graph.input}
    fused.graph.input.extend(value for value in inputs if value.name not in kept)
    if all(opset.domain != _RUNTIME_DOMAIN for opset in fused.opset_import):
        fused.opset_import.append(helper.make_opsetid(_RUNTIME_DOMAIN, 1))
    # Quantization needs the types of values, which cannot be inferred across the operators of ONNX Runtime.
    known = {value.name for value in fused.graph.value_info}
    for node in fused.graph.node:
        for name in (output for output in node.output if output not in known):
            if name in types:
                fused.graph.value_info.append(types[name])
            elif node.domain == _RUNTIME_DOMAIN:
                fused.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return fused


@contextlib.contextmanager
def _shape_failures_hidden() -> Iterator[None]:
    """Drop the one line that the optimizer prints if it cannot infer shapes, which fusion goes on without."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        sys.stdout.write("".join(line for line in lines if not line.startswith("failed in shape inference ")))


def fused_operators(content: bytes) -> dict[str, int]:
    """Count the operators that ONNX Runtime runs in place of several, once it has loaded a file.

    Returns:
        Fused pattern → number of operators.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        make_session(content, 1, optimized)
        counts = Counter(node.op_type for node in onnx.load(optimized).graph.node)
    return {pattern: sum(counts[name] for name in names) for pattern, names in _FUSED.items()}
