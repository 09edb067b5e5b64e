"""A .tflite file as a container of the model, its metadata and the files appended to it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from power_bert.export.metadata import METADATA_BUFFER, ModelMetadata

MODEL_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16


@dataclass(frozen=True)
class ModelFile:
    """Parts of a .tflite file.

    Attributes:
        model: The model with its metadata.
        files: Name → content of the files inside.
    """

    model: bytes
    files: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """Return the content of the .tflite file."""
        return append_files(self.model, self.files)


def unpack_model(model: bytes) -> schema.ModelT:
    """Return a model as Python objects."""
    return schema.ModelT.InitFromPackedBuf(model, 0)


class _CompactBuilder(Builder):
    """Stores equal vectors once (shapes, zero points of weights) and aligns weights as the schema demands."""

    def __init__(self, initial_size: int) -> None:
        super().__init__(initial_size)
        self._known_vectors: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        if x.dtype == np.uint8:  # the contents of a buffer
            self.Prep(_BUFFER_ALIGNMENT, x.nbytes)
            return int(super().CreateNumpyVector(x))
        key = x.dtype.str, x.tobytes()
        if key not in self._known_vectors:
            self._known_vectors[key] = int(super().CreateNumpyVector(x))
        return self._known_vectors[key]


def pack_model(model: schema.ModelT) -> bytes:
    """Return the bytes of a model, without associated files."""
    builder = _CompactBuilder(1 << 20)
    builder.Finish(model.Pack(builder), MODEL_IDENTIFIER)
    return bytes(builder.Output())


def add_metadata(model: schema.ModelT, metadata: ModelMetadata) -> None:
    """Put the metadata into the model's metadata buffer, replacing any that is there."""
    model.metadata = [entry for entry in model.metadata or [] if entry.name.decode() != METADATA_BUFFER]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(metadata.to_bytes(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_BUFFER, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Append a zip of `files` to a model, stored without compression because clients read the files in place."""
    archive = io.BytesIO()
    archive.write(model)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as zipped:
        for name, content in files.items():
            # A fixed date: the same export gives the same bytes.
            zipped.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return archive.getvalue()
