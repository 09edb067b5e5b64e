"""Classifiers as ONNX graphs: encoders with their head, and the students."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from power_bert.errors import UserError
from power_bert.export.onnx_builder import OnnxBuilder
from power_bert.export.onnx_encoder import add_encoder, weights_of
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.students.bag import TfidfBag
from power_bert.model.students.bilstm import BiLstmBackbone
from power_bert.model.students.cnn import CnnBackbone
from power_bert.model.students.ensemble import EnsembleBackbone
from power_bert.model.students.linear import LinearBackbone
from power_bert.model.students.mlp import MlpBackbone
from power_bert.model.students.tfidf import SMALLEST_NORM


def onnx_model(classifier: PowerBertTextClassifier, int8_tables: bool = False) -> onnx.ModelProto:
    """Return a classifier as an ONNX model that computes in float32, whose batch and length are dynamic.

    Args:
        classifier: Classifier without extraction or with hard extraction, or a student.
        int8_tables: Whether tables of embeddings are stored in int8.

    Raises:
        UserError: The classifier has a part that is not known here.
    """
    graph = OnnxBuilder(int8_tables)
    logits = _logits(graph, classifier)
    output = logits if classifier.is_regressor else graph.op("Softmax", logits, axis=-1)
    return graph.model(output, classifier.num_classes)


def _logits(graph: OnnxBuilder, classifier: PowerBertTextClassifier) -> str:
    backbone = classifier.backbone
    if type(backbone) not in _BACKBONES:
        raise UserError(
            f"the model cannot be exported to ONNX: {type(backbone).__name__} is none of "
            f"{', '.join(kind.__name__ for kind in _BACKBONES)}; use --format saved_model"
        )
    pooled = _BACKBONES[type(backbone)](graph, backbone)
    return pooled if classifier.output_dense is None else _dense(graph, classifier.output_dense, pooled, "logits")


def _dense(graph: OnnxBuilder, layer: Any, inputs: str, name: str) -> str:
    return graph.dense(inputs, weights_of(layer.kernel), weights_of(layer.bias), name)


def _embedded(graph: OnnxBuilder, backbone: Any) -> str:
    table = weights_of(backbone.token_embedding.embeddings)
    return graph.lookup(table, "ids", "token_embedding")  # (batch, length, embedding_dim)


def _bilstm(graph: OnnxBuilder, backbone: BiLstmBackbone) -> str:
    lstm, units = backbone.get_layer("lstm"), backbone.units
    lengths = graph.op("ReduceSum", "mask", np.array([1]), keepdims=0)  # int32 (batch,)
    steps = graph.op("Transpose", _embedded(graph, backbone), perm=(1, 0, 2))  # (length, batch, embedding_dim)

    def by_gate(values: np.ndarray) -> np.ndarray:
        """Reorder (2, …, 4 · units) from Keras' gates (input, forget, candidate, output) to (2, 4 · units, …)."""
        enter, forget, candidate, leave = np.split(values, 4, axis=-1)
        return np.swapaxes(np.concatenate([enter, leave, forget, candidate], axis=-1), 1, -1)

    bias = by_gate(weights_of(lstm.bias).reshape(2, 1, -1))[..., 0]  # (2, 4 · units)
    _, states = graph.op(
        "LSTM",
        steps,
        by_gate(weights_of(lstm.kernel)),
        by_gate(weights_of(lstm.cell.recurrent_kernel)),
        np.concatenate([bias, np.zeros_like(bias)], axis=-1),
        lengths,
        outputs=2,
        direction="bidirectional",
        hidden_size=units,
    )  # (2, batch, units)
    both = graph.op("Reshape", graph.op("Transpose", states, perm=(1, 0, 2)), np.array([0, 2 * units]))
    return str(graph.op("Relu", _dense(graph, backbone.get_layer("hidden"), both, "hidden")))


def _cnn(graph: OnnxBuilder, backbone: CnnBackbone) -> str:
    is_token = graph.expand(graph.to_float("mask"), 1)  # (batch, 1, length)
    embedded = graph.op("Transpose", _embedded(graph, backbone), perm=(0, 2, 1))  # (batch, embedding_dim, length)
    embedded = graph.op("Mul", embedded, is_token)
    largest = []
    for width in backbone.widths:
        layer = backbone.get_layer(f"width_{width}")
        kernel = np.transpose(weights_of(layer.kernel), (2, 1, 0))  # (filters, embedding_dim, width)
        before = (width - 1) // 2
        filtered = graph.op("Conv", embedded, kernel, weights_of(layer.bias), pads=[before, width - 1 - before])
        masked = graph.op("Mul", graph.op("Relu", filtered), is_token)  # (batch, filters, length)
        largest.append(graph.op("ReduceMax", masked, np.array([2]), keepdims=0))
    return str(graph.op("Concat", *largest, axis=-1))


def _bag(graph: OnnxBuilder, bag: TfidfBag) -> str:
    """Add a `TfidfBag`, (batch, output_dim); the names are those of `model.students.tfidf`."""
    is_token = graph.to_float("mask")  # (batch, length)
    equal = graph.to_float(graph.op("Equal", graph.expand("ids", 1), graph.expand("ids", 2)))  # (batch, length, length)
    counts = graph.op("MatMul", equal, graph.expand(is_token, 2))  # (batch, length, 1)
    counts = graph.op("Max", graph.op("Squeeze", counts, np.array([2])), 1.0)  # (batch, length)
    weights = graph.op("Mul", graph.op("Gather", weights_of(bag.idf), "ids"), is_token)
    if bag.sublinear:
        weights = graph.op("Mul", weights, graph.op("Div", graph.op("Add", graph.op("Log", counts), 1.0), counts))
    squared = graph.op("Mul", graph.op("Mul", weights, weights), counts)
    norm = graph.op("Sqrt", graph.op("ReduceSum", squared, np.array([1]), keepdims=1))  # (batch, 1)
    weights = graph.expand(graph.op("Div", weights, graph.op("Max", norm, SMALLEST_NORM)), 1)  # (batch, 1, length)
    rows = graph.lookup(weights_of(bag.table), "ids", "table")  # (batch, length, output_dim)
    summed = graph.op("Squeeze", graph.op("MatMul", weights, rows), np.array([1]))
    return str(graph.op("Add", summed, weights_of(bag.bias)))


def _mlp(graph: OnnxBuilder, backbone: MlpBackbone) -> str:
    hidden = graph.op("Relu", _bag(graph, backbone.bag))
    for name in (f"hidden_{number}" for number in range(1, len(backbone.hidden_dims))):
        hidden = graph.op("Relu", _dense(graph, backbone.get_layer(name), hidden, name))
    return str(hidden)


def _ensemble(graph: OnnxBuilder, backbone: EnsembleBackbone) -> str:
    """Add an ensemble: the logarithm of the members' mean probabilities, or their mean score."""
    logits = []
    for number, classifier in enumerate(backbone.classifiers):
        with graph.part(f"member_{number}"):
            logits.append(_logits(graph, classifier))
    if backbone.classifiers[0].is_regressor:
        return str(graph.op("Mean", *logits))
    return str(graph.op("Log", graph.op("Mean", *[graph.op("Softmax", values, axis=-1) for values in logits])))


_BACKBONES: dict[type, Callable[[OnnxBuilder, Any], str]] = {
    PowerBertBackbone: add_encoder,
    BiLstmBackbone: _bilstm,
    CnnBackbone: _cnn,
    LinearBackbone: lambda graph, backbone: _bag(graph, backbone.bag),
    MlpBackbone: _mlp,
    EnsembleBackbone: _ensemble,
}
