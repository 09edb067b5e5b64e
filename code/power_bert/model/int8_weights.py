"""Weights that int8 represents exactly, as the exported files store them: symmetric, with a scale for each channel."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.model.classifier import PowerBertTextClassifier

Tensor = Any
_LARGEST_INT8 = 127
_SMALLEST_SCALE = 1e-8


def rounded_to_int8(weights: Tensor, axis: int) -> Tensor:
    """Round weights to multiples of a 127th of the largest magnitude along `axis`, as `export.quantization` does."""
    largest = ops.max(ops.abs(weights), axis=axis, keepdims=True)
    scale = ops.maximum(largest / _LARGEST_INT8, _SMALLEST_SCALE)
    return ops.round(weights / scale) * scale


def dense_kernels(classifier: PowerBertTextClassifier) -> list[keras.Variable]:
    """Return the kernels of all dense layers, (inputs, outputs) each; their channels are the outputs."""
    backbone = classifier.backbone
    layers = [backbone.pooler, classifier.output_dense]
    for block in backbone.blocks:
        attention = block.attention
        layers += [attention.query, attention.key, attention.value, attention.output_projection]
        layers += [block.intermediate, block.output_projection]
    return [layer.kernel for layer in layers]


def freeze_rounded_embeddings(classifier: PowerBertTextClassifier) -> None:
    """Round the tables of token and position embeddings, whose channels are the rows, and train them no further."""
    embeddings = classifier.backbone.embeddings
    for table in (embeddings.token, embeddings.position):
        table.assign(rounded_to_int8(table, axis=1))
    embeddings.trainable = False
