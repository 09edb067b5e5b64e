"""An exported file, read and checked."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from power_bert.errors import UserError
from power_bert.export.metadata import METADATA_BUFFER, ModelMetadata
from power_bert.export.model_file import MODEL_IDENTIFIER, SETTINGS_FILE, unpack_model

_REMEDY = "Copy or export it again: bash run.sh export RUN --out model.tflite"


@dataclass(frozen=True)
class StoredModel:
    """What a .tflite file holds.

    Attributes:
        path: where it lies.
        size_bytes: of the whole file.
        model: operators, tensors and weights.
        metadata: the standard metadata; None where the file has none.
        files: name → content of the files inside.
        settings: of this project; empty for a file of another program.
    """

    path: Path
    size_bytes: int
    model: schema.ModelT
    metadata: ModelMetadata | None
    files: dict[str, bytes]
    settings: dict[str, Any]


def read_stored_model(path: Path) -> StoredModel:
    """Read a .tflite file of this or of another program.

    Raises:
        UserError: the file is missing, is no .tflite file or is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a .tflite file") from None
    if content[4:8] != MODEL_IDENTIFIER:
        raise UserError(f"{path}: not a .tflite file (it lacks the mark TFL3 at its beginning). {_REMEDY}")
    try:
        model = unpack_model(content)
        metadata = _metadata(model)
        files, model_size = _files(content)
        settings = json.loads(files[SETTINGS_FILE]) if SETTINGS_FILE in files else {}
    # What the schema's generated code raises where offsets lead out of the file.
    except (
        struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError
    ) as error:  # fmt: skip
        raise _damaged(path, f"its tables cannot be read: {error}") from None
    except zipfile.BadZipFile as error:
        raise _damaged(path, f"the files at its end cannot be read: {error}") from None
    if metadata is not None and metadata.names_files and not files:
        raise _damaged(path, "it is cut off: the files that its metadata name are missing")
    expected = settings.get("model_sha256")
    if expected and hashlib.sha256(content[:model_size]).hexdigest() != expected:
        raise _damaged(path, "its weights are not those that were written (sha256)")
    return StoredModel(path, len(content), model, metadata, files, settings)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: damaged, {what}. {_REMEDY}")


def _metadata(model: schema.ModelT) -> ModelMetadata | None:
    for entry in model.metadata or []:
        if entry.name.decode() == METADATA_BUFFER:
            return ModelMetadata.from_bytes(bytes(model.buffers[entry.buffer].data))
    return None


def _files(content: bytes) -> tuple[dict[str, bytes], int]:
    """Files in the zip at the end, and where that begins; none where there is no zip."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}, len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        begin = min((entry.header_offset for entry in archive.infolist()), default=len(content))
        return {name: archive.read(name) for name in archive.namelist()}, begin
