"""Merging of several models into one whose signatures share their weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema


def merge_signatures(models: Sequence[tuple[str, schema.ModelT]]) -> schema.ModelT:
    """Merge models into one with a subgraph and a signature for each; equal weights are stored once.

    Args:
        models: Key of the signature and the model, which has one subgraph and is modified. The first becomes the
            primary signature, which is run by clients that do not support signatures.
    """
    merged = schema.ModelT()
    merged.version, merged.description = models[0][1].version, models[0][1].description
    merged.operatorCodes, merged.subgraphs, merged.signatureDefs, merged.metadata = [], [], [], []
    merged.buffers = [schema.BufferT()]  # by convention the first one is empty
    known_buffers: dict[bytes, int] = {b"": 0}
    for key, model in models:
        subgraph, signature = copy.copy(model.subgraphs[0]), model.signatureDefs[0]
        subgraph.name = key
        _drop_unused_tensors(subgraph, signature)
        _renumber_operators(subgraph, model.operatorCodes, merged)
        for tensor in subgraph.tensors:
            data = model.buffers[tensor.buffer].data
            content = b"" if data is None else bytes(data)
            if content not in known_buffers:
                known_buffers[content] = len(merged.buffers)
                merged.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = known_buffers[content]
        signature.signatureKey, signature.subgraphIndex = key, len(merged.subgraphs)
        merged.subgraphs.append(subgraph)
        merged.signatureDefs.append(signature)
    return merged


def _drop_unused_tensors(subgraph: schema.SubGraphT, signature: schema.SignatureDefT) -> None:
    """Drop the tensors that no operator reads or writes: rewriting the graph leaves unused weights behind."""
    used = sorted(
        {
            int(tensor)
            for operator in subgraph.operators
            for tensor in (*operator.inputs, *operator.outputs)
            if tensor >= 0
        }
        | {int(tensor) for tensor in (*subgraph.inputs, *subgraph.outputs)}
    )
    numbers = {old: new for new, old in enumerate(used)} | {-1: -1}  # -1 marks an optional input that is absent

    def renumber(tensors: Sequence[int]) -> np.ndarray:
        return np.array([numbers[int(tensor)] for tensor in tensors], np.int32)

    subgraph.tensors = [subgraph.tensors[tensor] for tensor in used]
    subgraph.inputs, subgraph.outputs = renumber(subgraph.inputs), renumber(subgraph.outputs)
    for operator in subgraph.operators:
        operator.inputs, operator.outputs = renumber(operator.inputs), renumber(operator.outputs)
    for entry in (*signature.inputs, *signature.outputs):
        entry.tensorIndex = numbers[entry.tensorIndex]


def _renumber_operators(
    subgraph: schema.SubGraphT, codes: Sequence[schema.OperatorCodeT], merged: schema.ModelT
) -> None:
    """Point the operators of a subgraph to the operator codes of the merged model, adding those that it lacks."""

    def identity(code: schema.OperatorCodeT) -> tuple[int, int, bytes | None]:
        return code.builtinCode, code.version, code.customCode

    for operator in subgraph.operators:
        code = codes[operator.opcodeIndex]
        numbers = {identity(known): number for number, known in enumerate(merged.operatorCodes)}
        if identity(code) not in numbers:
            numbers[identity(code)] = len(merged.operatorCodes)
            merged.operatorCodes.append(code)
        operator.opcodeIndex = numbers[identity(code)]
