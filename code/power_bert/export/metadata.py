"""The standard TensorFlow Lite metadata, which MediaPipe and other clients read.

They are a FlatBuffers table (identifier ``M001``, schema ``metadata_schema.fbs`` of TensorFlow Lite Support and
MediaPipe) in the model's metadata buffer ``TFLITE_METADATA``, and files (vocabulary, labels) in a zip that is appended
to the model. This module covers the part of the schema that text models use.
"""

from __future__ import annotations

from dataclasses import dataclass

from power_bert.export.flat_tables import FlatTable, TableReader, UInt8, write_root

METADATA_BUFFER = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
# The oldest parser that reads all fields used here (BertTokenizerOptions came with 1.1.0).
MIN_PARSER_VERSION = "1.1.0"

# enum AssociatedFileType
FILE_TYPES = {0: "unknown", 1: "descriptions", 2: "axis labels", 5: "vocabulary"}
TENSOR_AXIS_LABELS = 2
VOCABULARY = 5
# union ContentProperties and union ProcessUnitOptions
_FEATURE_PROPERTIES = 1
_BERT_TOKENIZER_OPTIONS = 4


@dataclass(frozen=True)
class AssociatedFile:
    """A file in the appended zip, as the metadata describe it.

    Attributes:
        name: Name in the zip.
        description: Description for people.
        type: A key of FILE_TYPES.
    """

    name: str
    description: str
    type: int = 0


@dataclass(frozen=True)
class TensorInfo:
    """Description of an input or output tensor.

    Attributes:
        name: Name by which clients find it; MediaPipe looks for "ids", "mask" and "segment_ids".
        description: Description for people.
        files: Files that belong to the tensor, such as its labels.
    """

    name: str
    description: str
    files: tuple[AssociatedFile, ...] = ()


@dataclass(frozen=True)
class ModelMetadata:
    """The metadata of a text model.

    Attributes:
        name: Name of the model.
        description: Description for people.
        version: Version of the model.
        author: Author of the model.
        license: License of the model.
        inputs: Input tensors, in the order of the model.
        outputs: Output tensors, in the order of the model.
        vocabulary: Vocabulary of the BERT tokenizer that makes the inputs; None if the metadata name no tokenizer.
        files: Files that belong to the whole model.
        min_parser_version: Oldest metadata version that a parser needs to support.
    """

    name: str
    description: str
    version: str
    author: str
    license: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    vocabulary: AssociatedFile | None = None
    files: tuple[AssociatedFile, ...] = ()
    min_parser_version: str = MIN_PARSER_VERSION

    @property
    def associated_files(self) -> list[AssociatedFile]:
        """Files that belong to the model or to a tensor."""
        of_tensors = [file for tensor in (*self.inputs, *self.outputs) for file in tensor.files]
        return [*self.files, *of_tensors, *([self.vocabulary] if self.vocabulary else [])]

    def to_bytes(self) -> bytes:
        """Return the FlatBuffers table."""
        subgraph: dict[int, object] = {
            2: [_tensor_table(tensor) for tensor in self.inputs],
            3: [_tensor_table(tensor) for tensor in self.outputs],
        }
        if self.vocabulary is not None:
            subgraph[5] = [{0: UInt8(_BERT_TOKENIZER_OPTIONS), 1: {0: [_file_table(self.vocabulary)]}}]
        model: dict[int, object] = {
            0: self.name,
            1: self.description,
            2: self.version,
            3: [subgraph],
            4: self.author,
            5: self.license,
            6: [_file_table(file) for file in self.files],
            7: self.min_parser_version,
        }
        return write_root(model, _IDENTIFIER)

    @classmethod
    def from_bytes(cls, buffer: bytes) -> ModelMetadata:
        """Parse the output of `to_bytes` or of another writer of the same schema.

        Raises:
            ValueError: The buffer is not such a table.
        """
        if buffer[4:8] != _IDENTIFIER:
            raise ValueError(f"the metadata has the identifier {buffer[4:8]!r}, expected {_IDENTIFIER!r}")
        model = TableReader.root(buffer)
        subgraphs = model.tables(3)
        first = subgraphs[0] if subgraphs else None
        return cls(
            name=model.text(0),
            description=model.text(1),
            version=model.text(2),
            author=model.text(4),
            license=model.text(5),
            inputs=tuple(_read_tensor(tensor) for tensor in first.tables(2)) if first else (),
            outputs=tuple(_read_tensor(tensor) for tensor in first.tables(3)) if first else (),
            vocabulary=_read_vocabulary(first.tables(5)) if first else None,
            files=tuple(_read_file(file) for file in model.tables(6)),
            min_parser_version=model.text(7),
        )


def _file_table(file: AssociatedFile) -> FlatTable:
    return {0: file.name, 1: file.description, 2: UInt8(file.type)}


def _read_file(table: TableReader) -> AssociatedFile:
    return AssociatedFile(table.text(0), table.text(1), table.number(2, "B"))


def _tensor_table(tensor: TensorInfo) -> FlatTable:
    content: FlatTable = {0: UInt8(_FEATURE_PROPERTIES), 1: {}}
    return {0: tensor.name, 1: tensor.description, 3: content, 6: [_file_table(file) for file in tensor.files]}


def _read_tensor(table: TableReader) -> TensorInfo:
    return TensorInfo(table.text(0), table.text(1), tuple(_read_file(file) for file in table.tables(6)))


def _read_vocabulary(process_units: list[TableReader]) -> AssociatedFile | None:
    for unit in process_units:
        options = unit.table(1)
        if unit.number(0, "B") == _BERT_TOKENIZER_OPTIONS and options is not None and options.tables(0):
            return _read_file(options.tables(0)[0])
    return None
