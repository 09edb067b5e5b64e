"""An exported file, read and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.export.appended_files import read_appended_files
from power_bert.export.metadata import METADATA_BUFFER, ModelMetadata
from power_bert.export.model_file import MODEL_IDENTIFIER, SETTINGS_FILE
from power_bert.export.stored_graph import StoredGraph, read_graph
from power_bert.export.stored_settings import parse_settings
from power_bert.parsing import parsing

_REMEDY = "Copy or export it again: bash run.sh export RUN --out model.tflite"
# Offsets in a FlatBuffers file cannot lead further.
_MOST_BYTES = (2 << 30) - 1


@dataclass(frozen=True)
class StoredModel:
    """What a .tflite file holds.

    Attributes:
        path: where it lies.
        size_bytes: of the whole file.
        model_bytes: of the model alone, which the files inside follow.
        graph: signatures, tensors and operators.
        metadata: the standard metadata; None where the file has none.
        files: name → content of the files inside.
        settings: of this project; empty for a file of another program.
    """

    path: Path
    size_bytes: int
    model_bytes: int
    graph: StoredGraph
    metadata: ModelMetadata | None
    files: dict[str, bytes]
    settings: dict[str, Any]


def read_stored_model(path: Path) -> StoredModel:
    """Read a .tflite file of this or of another program.

    Raises:
        UserError: the file is missing, is no .tflite file or is damaged.
    """
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path}: not a file; expected a .tflite file")
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{path}: over 2 GiB, which no .tflite file is. {_REMEDY}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a .tflite file") from None
    return parse_stored_model(content, path)


def parse_stored_model(content: bytes, path: Path) -> StoredModel:
    """Parse the content of a .tflite file.

    This checks the structure that is shown and, for a file of this project, the sha256 of its weights. What only the
    interpreter reads, such as the options of operators, is left to the interpreter: a file of another origin that
    passes here may still crash it, so such a file runs in a process of its own (`benchmark-export`).

    Args:
        content: The whole file.
        path: Where it lies, for messages.

    Raises:
        UserError: It is no .tflite file or is damaged.
    """
    if content[4:8] != MODEL_IDENTIFIER:
        raise UserError(f"{path}: not a .tflite file (it lacks the mark TFL3 at its beginning). {_REMEDY}")
    with parsing(path, "a whole .tflite file", _REMEDY):
        files, model_bytes = read_appended_files(content)
        model = content[:model_bytes]
        graph = read_graph(model)
        described = graph.metadata.get(METADATA_BUFFER)
        metadata = None if described is None else ModelMetadata.from_bytes(described)
    settings = {}
    if SETTINGS_FILE in files:
        settings = parse_settings(files[SETTINGS_FILE], f"{path}, {SETTINGS_FILE}", _REMEDY)
    named = {file.name for file in metadata.associated_files} if metadata else set()
    if missing := sorted(named - files.keys()):
        raise _damaged(path, f"cut off: files that its metadata name are missing ({shorten(', '.join(missing))})")
    expected = settings.get("model_sha256")
    if expected and hashlib.sha256(model).hexdigest() != expected:
        raise _damaged(path, "its weights are not those that were written (sha256)")
    return StoredModel(path, len(content), model_bytes, graph, metadata, files, settings)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: damaged, {what}. {_REMEDY}")
