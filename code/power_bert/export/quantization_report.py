"""Report of what was quantized in an exported model, what was not, and why; read from the model itself."""

from __future__ import annotations

from collections import Counter

from ai_edge_litert import schema_py_generated as schema

from power_bert.export.graph_editor import OPERATOR_NAMES

# Operators that compute in float32 in a quantized file: description and reason.
_FLOAT_OPERATORS = {
    "BATCH_MATMUL": ("attention products", "both operands are activations; LiteRT's int8 form of it is slow"),
    "SOFTMAX": ("softmax", "8 bits cost accuracy and save little time"),
    "RSQRT": ("layer norms", "8 bits cost accuracy and save little time"),
    "GELU": ("GELU", "LiteRT's int8 form of it runs on one thread"),
    "TOPK_V2": ("selections of the tokens to keep", "int8 could not tell their significance apart"),
}


def quantization_report(model: schema.ModelT, quantization: str) -> list[str]:
    """Return lines for the user.

    Args:
        model: The finished model.
        quantization: Its form, one of `power_bert.export.forms.FORMS`.
    """
    if quantization == "none":
        return ["quantized  nothing: weights and activations are float32"]
    if quantization == "float16":
        return ["quantized  weights: stored in float16, widened to float32 when the file is loaded"]
    counts = _count(model)
    lines = [
        f"quantized  {counts['tables']} embedding tables: int8, a scale for each row",
        f"quantized  {counts['static']} dense layers: weights int8, a scale for each output channel; activations int8, "
        "ranges from calibration",
        f"quantized  {counts['dynamic']} dense layers: weights int8, a scale for each output channel; activations "
        "int8, the range of each row measured at run time",
    ]
    shown = [line for line in lines if "  0 " not in line]
    for name, (words, reason) in _FLOAT_OPERATORS.items():
        if counts[name]:
            shown.append(f"float32    {counts[name]} {words}: {reason}")
    return shown


def _count(model: schema.ModelT) -> Counter[str]:
    """Count operators by name, and quantized embedding tables and dense layers by kind."""
    counts: Counter[str] = Counter()
    int8 = schema.TensorType.INT8
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            name = OPERATOR_NAMES[model.operatorCodes[operator.opcodeIndex].builtinCode]
            types = [subgraph.tensors[tensor].type for tensor in operator.inputs if tensor >= 0]
            counts[name] += 1
            counts["tables"] += name == "EMBEDDING_LOOKUP" and types[1] == int8
            if name == "FULLY_CONNECTED" and types[1] == int8:
                counts["static" if types[0] == int8 else "dynamic"] += 1
    return counts
