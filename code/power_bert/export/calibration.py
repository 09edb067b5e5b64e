"""Which values the tensors of a model take on real examples: what static quantisation is calibrated with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from power_bert.cores import available_cores
from power_bert.export.model_file import pack_model
from power_bert.export.runtime import LiteRtClassifier
from power_bert.text.batches import pad_batch
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.examples import Examples

CALIBRATION_EXAMPLES = 1000


@dataclass(frozen=True)
class ObservedRange:
    """The values of a tensor over all calibration examples.

    Attributes:
        smallest: of all values, and 0.
        largest: of all values, and 0.
        usual_row: how far apart the smallest and the largest value of a row lie, the median of all rows.
    """

    smallest: float
    largest: float
    usual_row: float

    @property
    def stretch(self) -> float:
        """How many times wider the whole range is than a usual row: what one scale for all rows costs."""
        return (self.largest - self.smallest) / max(self.usual_row, 1e-8)


def observe(
    model: schema.ModelT,
    tensors: Sequence[int],
    encoded: EncodedTexts,
    advance: Callable[[int], None] = lambda rows: None,
) -> dict[int, ObservedRange]:
    """Run a model on examples and watch some of its tensors.

    Args:
        model: in float32, with one subgraph.
        tensors: numbers of tensors that operators produce, float32 (rows, channels).
        encoded: the examples, padded as they will be when the model is used.
        advance: is told how many examples were done.

    Returns:
        Tensor → its values over all examples.
    """
    watched = copy.copy(model)
    watched.subgraphs = [copy.copy(model.subgraphs[0])]
    watched.subgraphs[0].outputs = [*model.subgraphs[0].outputs, *tensors]
    content = pack_model(watched)
    workers = min(available_cores(), len(encoded))
    classifiers = [LiteRtClassifier(content) for _ in range(workers)]

    def run(worker: int) -> list[list[np.ndarray]]:
        """For each example and tensor the smallest and the largest value of every row, (2, rows)."""
        classifier, seen = classifiers[worker], []
        for row in range(worker, len(encoded), workers):
            classifier(pad_batch(encoded, np.array([row]), classifier.length))
            values = [classifier.interpreter.get_tensor(tensor) for tensor in tensors]
            seen.append([np.stack([value.min(axis=-1), value.max(axis=-1)]) for value in values])
            advance(1)
        return seen

    with ThreadPoolExecutor(workers) as pool:
        seen = [example for part in pool.map(run, range(workers)) for example in part]
    ranges = {}
    for position, tensor in enumerate(tensors):
        smallest, largest = np.concatenate([example[position] for example in seen], axis=1)
        usual_row = float(np.median(largest - smallest))
        ranges[tensor] = ObservedRange(min(float(smallest.min()), 0.0), max(float(largest.max()), 0.0), usual_row)
    return ranges


def calibration_examples(examples: Examples, seed: int) -> Examples:
    """CALIBRATION_EXAMPLES of the training examples, or all, chosen at random; in the order of the training set."""
    count = min(CALIBRATION_EXAMPLES, len(examples))
    rows = np.sort(np.random.default_rng(seed).choice(len(examples), count, replace=False))
    return examples.take(rows)
