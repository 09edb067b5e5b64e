"""What is in a .tflite file, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from power_bert.export.graph_editor import OPERATOR_NAMES
from power_bert.export.metadata import FILE_TYPES, ModelMetadata, TensorInfo
from power_bert.export.stored_model import StoredModel, read_stored_model
from power_bert.model.retention import format_retention
from power_bert.train.metrics import format_scores

TYPE_NAMES = {number: name.lower() for name, number in vars(schema.TensorType).items() if not name.startswith("_")}


def inspect_file(path: Path) -> list[str]:
    """Lines for the user: metadata, settings, signatures, files inside, weights, operators.

    Raises:
        UserError: the file is missing, is no .tflite file or is damaged.
    """
    stored = read_stored_model(path)
    lines = [f"{stored.path}  {stored.size_bytes / 1e6:.1f} MB"]
    if stored.metadata is None:
        lines += ["", "no metadata: MediaPipe cannot open this file"]
    else:
        lines += ["", *_metadata_lines(stored.metadata)]
    if stored.settings:
        lines += ["", *_settings_lines(stored)]
    for subgraph in range(len(stored.model.subgraphs)):
        lines += ["", *_signature_lines(stored, subgraph)]
    lines += ["", "files", *_file_lines(stored)]
    lines += ["", "weights", *_weight_lines(stored.model), "", "operators", *_operator_lines(stored.model)]
    return lines


def _metadata_lines(metadata: ModelMetadata) -> Iterator[str]:
    yield f"name         {metadata.name}"
    yield f"description  {metadata.description}"
    yield f"version      {metadata.version}"
    yield f"author       {metadata.author}"
    yield f"licence      {metadata.license}"
    yield f"reader       metadata of version {metadata.min_parser_version} or later"
    tokenizer = f"BERT, {metadata.vocabulary.name}" if metadata.vocabulary else "none named"
    yield f"tokenizer    {tokenizer}"


def _settings_lines(stored: StoredModel) -> Iterator[str]:
    settings = stored.settings
    yield f"task         {settings['task']}{', pairs of texts' if settings['pairs'] else ''}"
    yield f"labels       {', '.join(settings['labels']) or 'none: a regression'}"
    yield f"lower-case   {'yes' if settings['lowercase'] else 'no'}"
    yield f"accents      {'stripped' if settings.get('strip_accents', settings['lowercase']) else 'kept'}"
    yield f"max. length  {settings['max_length']} word pieces"
    yield f"quantised    {settings['quantization']}"
    if "similarity" in settings:
        yield f"similarity   {settings['similarity']}"
        retention = settings["retention"]
        yield f"retention    {format_retention(retention) if retention else 'none: nothing is eliminated'}"
    for length, dev in settings["dev"].items():
        yield (
            f"dev set      length {length}, {dev['examples']} examples: {format_scores(dev['scores'])} "
            f"(Keras {format_scores(dev['scores_keras'])})"
        )


def _signature_lines(stored: StoredModel, number: int) -> Iterator[str]:
    subgraph = stored.model.subgraphs[number]
    keys = [entry.signatureKey.decode() for entry in stored.model.signatureDefs or [] if entry.subgraphIndex == number]
    yield f"signature {', '.join(keys) or '(none)'}"
    described = (stored.metadata.inputs, stored.metadata.outputs) if stored.metadata else ((), ())
    for direction, tensors, infos in zip(("in ", "out"), (subgraph.inputs, subgraph.outputs), described, strict=True):
        for position, tensor in enumerate(tensors):
            info = infos[position] if position < len(infos) else None
            yield f"  {direction}  {_tensor_line(subgraph.tensors[tensor], info)}"


def _tensor_line(tensor: schema.TensorT, info: TensorInfo | None) -> str:
    shape = ", ".join(map(str, tensor.shape))
    described = f"  {info.name}: {info.description}" if info else ""
    return f"{tensor.name.decode()}  {TYPE_NAMES[tensor.type]} [{shape}]{described}"


def _file_lines(stored: StoredModel) -> Iterator[str]:
    types = {}
    if stored.metadata:
        tensors = (*stored.metadata.inputs, *stored.metadata.outputs)
        named = [*stored.metadata.files, *(file for tensor in tensors for file in tensor.files)]
        named += [stored.metadata.vocabulary] if stored.metadata.vocabulary else []
        types = {file.name: FILE_TYPES.get(file.type, "unknown") for file in named}
    if not stored.files:
        yield "  none"
    for name, content in stored.files.items():
        yield f"  {name:<16} {len(content):>11,} bytes  {types.get(name, 'not in the metadata')}"


def _weight_lines(model: schema.ModelT) -> Iterator[str]:
    """Bytes by type; a buffer that several tensors share counts once."""
    types = {tensor.buffer: tensor.type for subgraph in model.subgraphs for tensor in subgraph.tensors}
    sizes: Counter[str] = Counter()
    for buffer, kind in types.items():
        data = model.buffers[buffer].data
        sizes[TYPE_NAMES[kind]] += 0 if data is None else len(np.asarray(data))
    for name, size in sizes.most_common():
        if size:
            yield f"  {name:<16} {size:>11,} bytes"


def _operator_lines(model: schema.ModelT) -> Iterator[str]:
    names = [
        OPERATOR_NAMES[model.operatorCodes[operator.opcodeIndex].builtinCode]
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    ]
    for name, count in Counter(names).most_common():
        yield f"  {name:<20} {count:>4}"
