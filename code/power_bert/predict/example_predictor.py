"""Predictor of raw examples, whatever runs the model; imports no Keras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from power_bert.text.examples import Examples
from power_bert.text.task import Task


class ExamplePredictor(ABC):
    """Predictor of raw examples, chunk by chunk, in constant memory.

    Attributes:
        names: Names of the classes; None for a regressor.
    """

    names: Sequence[str] | None

    @abstractmethod
    def probabilities(self, examples: Examples) -> np.ndarray:
        """Return probabilities or scores, (examples, outputs), in the order of the examples.

        Raises:
            UserError: An output is not finite.
        """

    def predictions(
        self, task: Task, chunks: Iterable[Examples], advance: Callable[[int], None] = lambda rows: None
    ) -> Iterator[np.ndarray]:
        """Yield the predictions of each chunk and call `advance` with its number of examples."""
        for examples in chunks:
            yield to_predictions(task, self.probabilities(examples))
            advance(len(examples))


def to_predictions(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Convert outputs (examples, outputs) to class indices (int64) or scores (float64), (examples,)."""
    if task.is_regression:
        return outputs[:, 0].astype(np.float64)
    return outputs.argmax(axis=-1).astype(np.int64)
