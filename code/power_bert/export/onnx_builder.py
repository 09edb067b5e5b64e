"""Builder of ONNX graphs from standard operators, one method call for each operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from power_bert.model.int8_weights import int8_scales
from power_bert_runtime.contents import INPUT_NAMES, OUTPUT_NAME

# The first operator set with GELU; LayerNormalization came with 17.
OPSET = 20
# The version of the file format that came with this operator set, so that older runtimes can read the file.
_IR_VERSION = 9
_INT64, _FLOAT = TensorProto.INT64, TensorProto.FLOAT


class OnnxBuilder:
    """Collects the nodes and constants of a graph.

    Values are named by texts; every method returns the name of its result. Constants can be given as NumPy arrays or
    numbers wherever a value is expected; Python integers become int64, floats float32.

    Args:
        int8_tables: Whether `lookup` stores tables in int8, with a scale for each row.
    """

    def __init__(self, int8_tables: bool = False) -> None:
        self._int8_tables = int8_tables
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[TensorProto] = []
        self._declared: list[onnx.ValueInfoProto] = []
        self._prefix, self._count = "", 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name the values that are added inside the block after a part of the model, such as "block_0"."""
        outer, self._prefix = self._prefix, f"{self._prefix}{name}/"
        yield
        self._prefix = outer

    def op(self, kind: str, *inputs: Any, outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        """Add a node.

        Args:
            kind: Operator of ONNX, such as "MatMul".
            inputs: Names of values, or constants; None for an absent optional input.
            outputs: Number of outputs.
            name: Name of the node; empty for a generated one.
            attributes: Attributes of the operator.

        Returns:
            The name of its output, or a list of names if there are several.
        """
        self._count += 1
        node_name = self._prefix + (name or f"{kind}_{self._count}")
        results = [f"{node_name}:{number}" for number in range(outputs)]
        names = ["" if value is None else self.value(value) for value in inputs]
        self._nodes.append(helper.make_node(kind, names, results, name=node_name, **attributes))
        return results[0] if outputs == 1 else results

    def value(self, value: Any, name: str = "") -> str:
        """Return the name of a value; a constant is added to the graph, once for equal ones."""
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = self._prefix + name if name else f"constant_{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def size(self, value: str, axis: int) -> str:
        """Return the size of an axis, int64 (1,)."""
        return str(self.op("Shape", value, start=axis, end=axis + 1))

    def to_float(self, value: str) -> str:
        return str(self.op("Cast", value, to=_FLOAT))

    def to_int(self, value: str) -> str:
        return str(self.op("Cast", value, to=_INT64))

    def positions(self, count: str) -> str:
        """Return 0, 1, …, count − 1, int64 (count,), for a count of shape (1,)."""
        return str(self.op("Range", 0, self.op("Squeeze", count), 1))

    def expand(self, value: Any, *axes: int) -> str:
        """Insert axes of size 1."""
        return str(self.op("Unsqueeze", value, np.array(axes, np.int64)))

    def declare(self, value: str, *shape: str | int) -> str:
        """Declare the shape of a value, where it cannot be inferred; equal names are equal sizes."""
        self._declared.append(helper.make_tensor_value_info(value, _FLOAT, shape))
        return value

    def dense(self, inputs: str, kernel: np.ndarray, bias: np.ndarray | None, name: str) -> str:
        """Apply a dense layer without activation to the last axis: kernel (inputs, outputs), bias (outputs,)."""
        product = self.op("MatMul", inputs, self.value(kernel, f"{name}/kernel"), name=name)
        return str(product if bias is None else self.op("Add", product, self.value(bias, f"{name}/bias")))

    def lookup(self, table: np.ndarray, rows: str, name: str) -> str:
        """Look up rows of a table (rows, dim) by their numbers: (…) → float32 (…, dim)."""
        if not self._int8_tables:
            return str(self.op("Gather", self.value(table, name), rows))
        scales = int8_scales(table, 1, np)  # (rows, 1)
        values = self.value(np.rint(table / scales).astype(np.int8), f"{name}_int8")
        found = self.to_float(self.op("Gather", values, rows))
        return str(self.op("Mul", found, self.op("Gather", self.value(scales, f"{name}_scales"), rows)))

    def layer_norm(self, inputs: str, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> str:
        return str(self.op("LayerNormalization", inputs, gamma, beta, axis=-1, epsilon=epsilon))

    def model(self, output: str, num_outputs: int) -> onnx.ModelProto:
        """Return the checked model: `INPUT_NAMES`, int32 (batch, length) → `OUTPUT_NAME`, float32 (batch, outputs)."""
        self._nodes.append(helper.make_node("Identity", [output], [OUTPUT_NAME], name=OUTPUT_NAME))
        shape = ["batch", "length"]
        graph = helper.make_graph(
            self._nodes,
            "power_bert",
            [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name in INPUT_NAMES],
            [helper.make_tensor_value_info(OUTPUT_NAME, _FLOAT, ["batch", num_outputs])],
            self._initializers,
            value_info=self._declared,
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], producer_name="power-bert", ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        return model
