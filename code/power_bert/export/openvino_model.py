"""Classifiers as OpenVINO models, made from their ONNX graphs; int8 by NNCF."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino

from power_bert.export.onnx_classifier import onnx_model
from power_bert.export.onnx_quantization import choosing_nodes
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert_runtime.batching import batch_inputs
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.openvino_engine import compile_model


def openvino_model(
    classifier: PowerBertTextClassifier, form: str, encoded: EncodedTexts | None, protects: bool
) -> openvino.Model:
    """Return a classifier as an OpenVINO model whose batch and length are dynamic.

    Args:
        classifier: Classifier without extraction or with hard extraction, or a student.
        form: "none"; "float16" (weights); "dynamic" (weights in int8, which OpenVINO computes with as it sees fit); or
            "int8" (weights and activations, calibrated).
        encoded: Calibration examples for "int8".
        protects: Whether queries and keys of the blocks that choose tokens, and what follows them up to the choice,
            stay in float32.
    """
    graph = onnx_model(classifier)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(graph.SerializeToString())
        model = openvino.Core().read_model(path)
        if form == "none":
            return model
        if form == "float16":
            path = path.with_suffix(".xml")
            openvino.save_model(model, path, compress_to_fp16=True)
            return openvino.Core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
    import nncf

    nncf.set_log_level(logging.ERROR)
    protected = nncf.IgnoredScope(names=list(_float_operations(model, choosing_nodes(graph), protects)))
    if form == "dynamic":
        return nncf.compress_weights(model, ignored_scope=protected)
    if encoded is None:
        raise ValueError("int8 needs calibration examples")
    examples = [
        batch_inputs(encoded, np.array([row]), int(length)) for row, length in enumerate(encoded.lengths.tolist())
    ]
    kind = nncf.ModelType.TRANSFORMER if isinstance(classifier.backbone, PowerBertBackbone) else None
    return nncf.quantize(
        model, nncf.Dataset(examples), model_type=kind, subset_size=len(examples), ignored_scope=protected
    )


def compiled_operations(model: openvino.Model) -> tuple[int, int]:
    """Return the number of operations of a model, without constants, and of what OpenVINO runs in their place."""
    compiled = compile_model(model, 1).get_runtime_model()
    kinds = [str(operation.get_rt_info()["layerType"].astype(str)) for operation in compiled.get_ops()]
    before = [operation for operation in model.get_ops() if operation.get_type_name() != "Constant"]
    return len(before), len([kind for kind in kinds if kind not in ("Const", "Input", "Output")])


def _float_operations(model: openvino.Model, choosing: list[str], protects: bool) -> Iterator[str]:
    """Yield the names of the operations that stay in float32: what chooses tokens, and what that rests on."""
    there = {operation.get_friendly_name() for operation in model.get_ops()}
    blocks = {name.rpartition("/")[0] for name in choosing}
    products = [f"{block}/{name}" for block in sorted(blocks) for name in ("scores", "significance", "fused")]
    yield from (name for name in [*products, *(choosing if protects else [])] if name in there)
