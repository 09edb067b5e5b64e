"""Calibration of `int8` quantization: the ranges that tensors of a model take on training examples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from power_bert.export.model_file import pack_model
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.litert import LiteRtClassifier, run_examples


@dataclass(frozen=True)
class ObservedRange:
    """Range of a tensor over all calibration examples.

    Attributes:
        smallest: Smallest value, at most 0.
        largest: Largest value, at least 0.
        usual_row: Median over all rows of the distance between the smallest and the largest value of a row.
    """

    smallest: float
    largest: float
    usual_row: float

    @property
    def stretch(self) -> float:
        """Ratio of the whole range to that of a median row: the precision that one scale for all rows costs."""
        return (self.largest - self.smallest) / max(self.usual_row, 1e-8)


def observe(
    model: schema.ModelT,
    tensors: Sequence[int],
    encoded: EncodedTexts,
    advance: Callable[[int], None] = lambda rows: None,
) -> dict[int, ObservedRange]:
    """Run a model on examples and observe the ranges of some of its tensors.

    Args:
        model: Model in float32 with one subgraph.
        tensors: Indices of tensors that operators produce, float32 (rows, channels).
        encoded: Calibration examples, padded to the model's length when they run.
        advance: Progress callback: `advance(examples_done)`.

    Returns:
        Tensor → range over all examples.
    """
    watched = copy.copy(model)
    watched.subgraphs = [copy.copy(model.subgraphs[0])]
    watched.subgraphs[0].outputs = [*model.subgraphs[0].outputs, *tensors]

    def extremes_of_rows(classifier: LiteRtClassifier, _: np.ndarray) -> list[np.ndarray]:
        values = [classifier.interpreter.get_tensor(tensor) for tensor in tensors]  # (rows, channels) each
        return [np.stack([value.min(axis=-1), value.max(axis=-1)]) for value in values]  # (2, rows) each

    seen = run_examples(pack_model(watched), encoded, extremes_of_rows, advance=advance)
    ranges = {}
    for position, tensor in enumerate(tensors):
        smallest, largest = np.concatenate([example[position] for example in seen], axis=1)  # (all rows,) each
        usual_row = float(np.median(largest - smallest))
        ranges[tensor] = ObservedRange(min(float(smallest.min()), 0.0), max(float(largest.max()), 0.0), usual_row)
    return ranges
