"""Report of the content of an exported file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from power_bert.errors import UserError, shorten
from power_bert.export.description import shown_retention
from power_bert.export.graph_editor import OPERATOR_NAMES
from power_bert.export.metadata import FILE_TYPES, ModelMetadata, TensorInfo
from power_bert.export.server_formats import is_saved_model, saved_model_settings
from power_bert.export.stored_graph import StoredGraph, StoredTensor
from power_bert.export.stored_model import StoredModel, read_stored_model
from power_bert.predict.metrics import format_agreement, format_scores
from power_bert.result_tables import wrap_value
from power_bert_runtime import Classifier
from power_bert_runtime.contents import FORMATS, ONNX, OPENVINO

_TYPE_NAMES = {number: name.lower() for name, number in vars(schema.TensorType).items() if not name.startswith("_")}
# Texts from the file are cut to this many characters.
_LINE_LENGTH = 5000


def inspect_file(path: Path) -> list[str]:
    """Return lines for the user: settings, and for a .tflite file metadata, signatures, files, weights and operators.

    Args:
        path: Exported file, or the folder of a SavedModel.

    Raises:
        UserError: The file is missing, is no exported file or is damaged, or its runtime is not installed.
    """
    if path.is_dir():
        lines = _saved_model_lines(path)
    elif FORMATS.get(path.suffix) in (ONNX, OPENVINO):
        lines = _server_lines(path)
    else:
        lines = _lines(read_stored_model(path))
    return [shorten(line, _LINE_LENGTH) for line in lines]


def _server_lines(path: Path) -> list[str]:
    """Return the lines of a file for servers."""
    with Classifier(path) as classifier:
        fused = [
            f"fused        {count} × {name}" for name, count in classifier.metadata.get("fused", {}).items() if count
        ]
        size = f"{path}  {classifier.size_bytes / 1e6:.1f} MB  for {classifier.runtime}, batch and length dynamic"
        return [size, "", *_settings_lines(classifier.metadata), *fused]


def _saved_model_lines(path: Path) -> list[str]:
    """Return the lines of a SavedModel; what TensorFlow computes is not opened, which would take it seconds."""
    if not is_saved_model(path):
        raise UserError(
            f"{path}: a folder without saved_model.pb; expected a .tflite, .onnx or .xml file or a SavedModel"
        )
    settings = saved_model_settings(path)
    size_bytes = sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    size = f"{path}  {size_bytes / 1e6:.1f} MB  for TensorFlow Serving, batch and length dynamic"
    return [size, "", *_settings_lines(settings)]


def _lines(stored: StoredModel) -> list[str]:
    lines = [f"{stored.path}  {stored.size_bytes / 1e6:.1f} MB"]
    if stored.metadata is None:
        lines += ["", "no metadata: MediaPipe cannot open this file"]
    else:
        lines += ["", *_metadata_lines(stored.metadata)]
    if stored.settings:
        lines += ["", *_settings_lines(stored.settings)]
    for subgraph in range(len(stored.graph.subgraphs)):
        lines += ["", *_signature_lines(stored, subgraph)]
    lines += ["", "files", *_file_lines(stored)]
    lines += ["", "weights", *_weight_lines(stored.graph), "", "operators", *_operator_lines(stored.graph)]
    return lines


def _metadata_lines(metadata: ModelMetadata) -> Iterator[str]:
    yield f"name         {metadata.name}"
    yield f"description  {metadata.description}"
    yield f"version      {metadata.version}"
    yield f"author       {metadata.author}"
    yield f"license      {metadata.license}"
    yield f"reader       metadata of version {metadata.min_parser_version} or later"
    tokenizer = f"BERT, {metadata.vocabulary.name}" if metadata.vocabulary else "none named"
    yield f"tokenizer    {tokenizer}"


def _settings_lines(stored: Mapping[str, Any]) -> Iterator[str]:
    settings: dict[str, Any] = {"labels": [], "lowercase": True, "dev": {}, **stored}
    yield f"task         {settings.get('task', '?')}{', pairs of texts' if settings.get('pairs') else ''}"
    yield f"labels       {', '.join(settings['labels']) or 'none: a regression'}"
    yield f"lowercase    {'yes' if settings['lowercase'] else 'no'}"
    yield f"accents      {'stripped' if settings.get('strip_accents', settings['lowercase']) else 'kept'}"
    yield f"max length   {settings.get('max_length', '?')} tokens"
    yield f"quantized    {settings.get('quantization', '?')}"
    if "similarity" in settings:
        yield f"similarity   {settings['similarity']}"
        yield from wrap_value("retention    ", shown_retention(settings) or "none: nothing is eliminated")
    for length, dev in settings["dev"].items():
        yield (
            f"dev set      length {length}, {dev['examples']} examples: {format_scores(dev['scores'])} "
            f"(Keras {format_scores(dev['scores_keras'])}), {_agreement(dev['agreement'], settings)}"
        )
    for length, elsewhere in settings.get("elsewhere", {}).items():
        yield (
            f"elsewhere    length {length}, {elsewhere['texts']} texts of {elsewhere['source']}: "
            f"{_agreement(elsewhere['agreement'], settings)}"
        )


def _agreement(agreement: float | None, settings: Mapping[str, Any]) -> str:
    return format_agreement(agreement, settings.get("regression", False))


def _signature_lines(stored: StoredModel, number: int) -> Iterator[str]:
    subgraph = stored.graph.subgraphs[number]
    keys = [key for key, of_subgraph in stored.graph.signatures if of_subgraph == number]
    yield f"signature {', '.join(keys) or '(none)'}"
    described = (stored.metadata.inputs, stored.metadata.outputs) if stored.metadata else ((), ())
    for direction, tensors, infos in zip(("in ", "out"), (subgraph.inputs, subgraph.outputs), described, strict=True):
        for position, tensor in enumerate(tensors):
            info = infos[position] if position < len(infos) else None
            yield f"  {direction}  {_tensor_line(subgraph.tensors[tensor], info)}"


def _tensor_line(tensor: StoredTensor, info: TensorInfo | None) -> str:
    shape = ", ".join(map(str, tensor.shape))
    described = f"  {info.name}: {info.description}" if info else ""
    return f"{tensor.name}  {_type_name(tensor.type)} [{shape}]{described}"


def _type_name(number: int) -> str:
    return _TYPE_NAMES.get(number, f"type {number}")


def _file_lines(stored: StoredModel) -> Iterator[str]:
    named = stored.metadata.associated_files if stored.metadata else []
    types = {file.name: FILE_TYPES.get(file.type, "unknown") for file in named}
    if not stored.files:
        yield "  none"
    for name, content in stored.files.items():
        yield f"  {name:<16} {len(content):>11,} bytes  {types.get(name, 'not in the metadata')}"


def _weight_lines(graph: StoredGraph) -> Iterator[str]:
    """Sum the bytes of the weights by type; a buffer that several tensors share counts once."""
    types = {tensor.buffer: tensor.type for subgraph in graph.subgraphs for tensor in subgraph.tensors}
    sizes: Counter[str] = Counter()
    for buffer, kind in types.items():
        sizes[_type_name(kind)] += graph.buffer_bytes[buffer]
    for name, size in sizes.most_common():
        if size:
            yield f"  {name:<16} {size:>11,} bytes"


def _operator_lines(graph: StoredGraph) -> Iterator[str]:
    codes = Counter(code for subgraph in graph.subgraphs for code in subgraph.operators)
    for code, count in codes.most_common():
        yield f"  {OPERATOR_NAMES.get(code, f'operator {code}'):<20} {count:>4}"
