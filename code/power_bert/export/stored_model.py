"""Reader of .tflite files, which checks them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import shorten
from power_bert.export.metadata import METADATA_BUFFER, ModelMetadata
from power_bert.export.stored_graph import StoredGraph, read_graph
from power_bert_runtime.parsing import parsing
from power_bert_runtime.stored_files import REMEDY, damaged, parse_tflite, read_file


@dataclass(frozen=True)
class StoredModel:
    """Content of a .tflite file.

    Attributes:
        path: Path of the file.
        size_bytes: Size of the whole file.
        model_bytes: Size of the model alone, after which the files inside follow.
        graph: Signatures, tensors and operators.
        metadata: The standard metadata; None if the file has none.
        files: Name → content of the files inside.
        settings: Settings of this project; empty for a file of another program.
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
        UserError: The file is missing, is not a .tflite file or is damaged.
    """
    return parse_stored_model(read_file(path, ".tflite file"), path)


def parse_stored_model(content: bytes, path: Path) -> StoredModel:
    """Parse the content of a .tflite file.

    This checks the structure that `inspect` shows and, for a file of this project, the sha256 of its weights. It does
    not check what only the interpreter reads, such as the options of operators: a file of another origin that passes
    here may still crash the interpreter, so `benchmark-export` runs such a file in a process of its own.

    Args:
        content: The whole file.
        path: Path of the file, for messages.

    Raises:
        UserError: The content is not a .tflite file or is damaged.
    """
    file = parse_tflite(content, path)
    with parsing(path, "a whole .tflite file", REMEDY):
        graph = read_graph(file.model)
        described = graph.metadata.get(METADATA_BUFFER)
        metadata = None if described is None else ModelMetadata.from_bytes(described)
    named = {file.name for file in metadata.associated_files} if metadata else set()
    if missing := sorted(named - file.files.keys()):
        raise damaged(path, f"cut off: files that its metadata name are missing ({shorten(', '.join(missing))})")
    return StoredModel(path, file.size_bytes, len(file.model), graph, metadata, file.files, file.settings)
