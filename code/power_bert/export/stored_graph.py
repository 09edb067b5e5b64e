"""Bounded reader of the model part of a .tflite file, without the weights: what `inspect` shows.

The slots are the positions of the fields in TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

from dataclasses import dataclass

from power_bert.export.flat_tables import TableReader


@dataclass(frozen=True)
class StoredTensor:
    """A tensor.

    Attributes:
        name: Name in the graph.
        type: A value of the schema's `TensorType`.
        shape: Dimensions.
        buffer: Index of the buffer that holds the values.
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
        inputs: Indices of the input tensors.
        outputs: Indices of the output tensors.
        operators: Kind of each operator, a value of the schema's `BuiltinOperator`.
    """

    tensors: tuple[StoredTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[int, ...]


@dataclass(frozen=True)
class StoredGraph:
    """The model part of a file.

    Attributes:
        subgraphs: Subgraphs, one for each signature.
        signatures: Key and index of the subgraph of each signature.
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
        ValueError: The file is damaged: an offset or an index refers to something that does not exist.
    """
    model = TableReader.root(content)
    # The code of an operator stands in one of two fields; the older one holds codes up to 127.
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
