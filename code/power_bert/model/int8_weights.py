"""Weights that int8 represents exactly, as the exported files store them: symmetric, with a scale for each channel."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.model.classifier import PowerBertTextClassifier

Tensor = Any
_LARGEST_INT8 = 127
SMALLEST_SCALE = 1e-8


def int8_scales(weights: Tensor, axis: int, module: Any = ops) -> Tensor:
    """Return a 127th of the largest magnitude along `axis`, whose size becomes 1; `module` is keras.ops or NumPy."""
    largest = module.max(module.abs(weights), axis=axis, keepdims=True)
    return module.maximum(largest / _LARGEST_INT8, SMALLEST_SCALE)


def rounded_to_int8(weights: Tensor, axis: int) -> Tensor:
    """Round weights to multiples of their scale, as int8 files store them."""
    scales = int8_scales(weights, axis)
    return ops.round(weights / scales) * scales


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
