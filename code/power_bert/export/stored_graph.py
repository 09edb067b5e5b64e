"""What the model part of a .tflite file holds, as far as it is shown: read with bounds, without the weights.

The slots are the positions of the fields in TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

from dataclasses import dataclass

from power_bert.export.flat_tables import TableReader


@dataclass(frozen=True)
class StoredTensor:
    """A tensor.

    Attributes:
        name: Its name in the graph.
        type: A value of the schema's `TensorType`.
        shape: Its dimensions.
        buffer: Number of the buffer that holds its values.
    """

    name: str
    type: int
    shape: tuple[int, ...]
    buffer: int


@dataclass(frozen=True)
class StoredSubgraph:
    """A subgraph.

    Attributes:
        tensors: All tensors.
        inputs: Numbers of the input tensors.
        outputs: Numbers of the output tensors.
        operators: Of each operator the value of the schema's `BuiltinOperator`.
    """

    tensors: tuple[StoredTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[int, ...]


@dataclass(frozen=True)
class StoredGraph:
    """The model part of a file.

    Attributes:
        subgraphs: One for each signature.
        signatures: Key and number of the subgraph of each signature.
        buffer_bytes: Size of each buffer.
        metadata: Name → content of each metadata buffer.
    """

    subgraphs: tuple[StoredSubgraph, ...]
    signatures: tuple[tuple[str, int], ...]
    buffer_bytes: tuple[int, ...]
    metadata: dict[str, bytes]


def read_graph(content: bytes) -> StoredGraph:
    """Read the model part of a .tflite file.

    Raises:
        ValueError: It is damaged: an offset or a number leads to something that is not there.
    """
    model = TableReader.root(content)
    # The code of an operator stands in one of two fields; the older one ends at 127.
    codes = [max(code.number(0, "b"), code.number(3)) for code in model.tables(1)]
    buffers = model.tables(4)
    subgraphs = tuple(_read_subgraph(table, codes, len(buffers)) for table in model.tables(2))
    signatures = tuple((table.text(2), table.number(4, "I")) for table in model.tables(7))
    _check_numbers("subgraph", [number for _, number in signatures], len(subgraphs))
    entries = [(table.text(0), table.number(1, "I")) for table in model.tables(6)]
    _check_numbers("buffer", [number for _, number in entries], len(buffers))
    return StoredGraph(
        subgraphs=subgraphs,
        signatures=signatures,
        buffer_bytes=tuple(buffer.vector(0, 1)[1] for buffer in buffers),
        metadata={name: buffers[number].data(0) for name, number in entries},
    )


def _read_subgraph(table: TableReader, codes: list[int], buffers: int) -> StoredSubgraph:
    tensors = tuple(
        StoredTensor(tensor.text(3), tensor.number(1, "B"), tensor.int32s(0), tensor.number(2, "I"))
        for tensor in table.tables(0)
    )
    _check_numbers("buffer", [tensor.buffer for tensor in tensors], buffers)
    inputs, outputs = table.int32s(1), table.int32s(2)
    _check_numbers("tensor", [*inputs, *outputs], len(tensors))
    operators = [operator.number(0, "I") for operator in table.tables(3)]
    _check_numbers("operator code", operators, len(codes))
    return StoredSubgraph(tensors, inputs, outputs, tuple(codes[operator] for operator in operators))


def _check_numbers(what: str, numbers: list[int], there: int) -> None:
    for number in numbers:
        if not 0 <= number < there:
            raise ValueError(f"{what} {number} is referred to, of {there}")
