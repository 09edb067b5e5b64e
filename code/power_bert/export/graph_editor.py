"""Editor of the operators and tensors of a LiteRT model with one subgraph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPERATOR_NAMES: dict[int, str] = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_TENSOR_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}
# Codes up to this one also stand in the older field for the operator's code.
_LARGEST_OLD_CODE = 127


class GraphEditor:
    """Rewrites the subgraph of a model.

    Args:
        model: Model with one subgraph; changed in place.
    """

    def __init__(self, model: schema.ModelT) -> None:
        self.model, self.subgraph = model, model.subgraphs[0]

    def name_of(self, operator: schema.OperatorT) -> str:
        """Return the name of an operator in the schema, such as "FULLY_CONNECTED"."""
        return OPERATOR_NAMES[self.model.operatorCodes[operator.opcodeIndex].builtinCode]

    def is_constant(self, tensor: int) -> bool:
        return self.model.buffers[self.subgraph.tensors[tensor].buffer].data is not None

    def constant(self, tensor: int) -> np.ndarray:
        """Return the values of a constant float32 tensor."""
        stored = self.subgraph.tensors[tensor]
        data = np.asarray(self.model.buffers[stored.buffer].data, np.uint8)
        return data.view(np.float32).reshape(stored.shape)

    def add_tensor(
        self, name: str, shape: Any, dtype: Any, scales: np.ndarray | None = None, zero_point: int = 0
    ) -> int:
        """Add a tensor and return its index.

        Args:
            name: Name of the tensor.
            shape: Shape of the tensor.
            dtype: Data type: float32, int32 or int8.
            scales: Scales of a quantized tensor: one, or one for each entry of the first axis.
            zero_point: Zero point of a quantized tensor.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, np.asarray(shape, np.int32), _TENSOR_TYPES[np.dtype(dtype)]
        tensor.hasRank = True
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales.astype(np.float32)
            tensor.quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def add_constant(self, name: str, values: np.ndarray, scales: np.ndarray | None = None) -> int:
        """Add a constant and return the index of its tensor."""
        number = self.add_tensor(name, values.shape, values.dtype, scales)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.subgraph.tensors[number].buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        return number

    def make_operator(
        self, name: str, version: int, inputs: list[int], outputs: list[int], options: Any = None
    ) -> schema.OperatorT:
        """Make an operator that is not in the subgraph yet.

        Args:
            name: Name in the schema, such as "QUANTIZE".
            version: Version of the operator that is needed.
            inputs: Indices of the input tensors.
            outputs: Indices of the output tensors.
            options: Options table of the operator; None if it has none.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._operator_code(getattr(schema.BuiltinOperator, name), version)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptions, operator.builtinOptionsType = options, getattr(schema.BuiltinOptions, kind)
        return operator

    def _operator_code(self, builtin: int, version: int) -> int:
        for number, code in enumerate(self.model.operatorCodes):
            if (code.builtinCode, code.version) == (builtin, version):
                return number
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = builtin, version
        code.deprecatedBuiltinCode = min(builtin, _LARGEST_OLD_CODE)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def rewrite(self, replace: Callable[[schema.OperatorT], list[schema.OperatorT]]) -> None:
        """Replace each operator by the operators that `replace` returns for it."""
        self.subgraph.operators = [new for operator in self.subgraph.operators for new in replace(operator)]
