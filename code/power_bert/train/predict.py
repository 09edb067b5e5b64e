"""Predictions for a data set, in the order of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import plain_tokenizer
from power_bert.text.batches import evaluation_batches
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.examples import Examples
from power_bert.text.task import Task
from power_bert.train.forward import Forward, compiled_forward

EVALUATION_BATCH_SIZE = 64


class Predictor:
    """A classifier that predicts raw examples: any number of them, chunk by chunk, in memory that does not grow.

    Args:
        classifier: with its tokenizer; its weights of the moment are used.
        max_length: word pieces of an example at most; longer ones are cut.
    """

    def __init__(self, classifier: PowerBertTextClassifier, max_length: int) -> None:
        self._forward = compiled_forward(classifier)
        self._tokenizer = plain_tokenizer(classifier)
        self._max_length = max_length

    def outputs(self, examples: Examples) -> np.ndarray:
        """Logits or scores, (examples, outputs), in the order of the examples.

        Raises:
            UserError: an output is not finite.
        """
        encoded = self._tokenizer.encode(examples.first, examples.second, self._max_length)
        outputs = predict_outputs(self._forward, encoded, EVALUATION_BATCH_SIZE, self._max_length)
        if not np.isfinite(outputs).all():
            raise UserError(
                f"the model's output for {examples.first[int(np.argmin(np.isfinite(outputs).all(axis=-1)))][:60]!r} is "
                "not a number: its weights are not finite. Train it again with a smaller LR_BERT, or use another model"
            )
        return outputs

    def predictions(
        self, task: Task, chunks: Iterable[Examples], advance: Callable[[int], None] = lambda rows: None
    ) -> Iterator[np.ndarray]:
        """`to_predictions` of each chunk in turn; `advance` is told the examples of each."""
        for examples in chunks:
            yield to_predictions(task, self.outputs(examples))
            advance(len(examples))


def predict_outputs(forward: Forward, encoded: EncodedTexts, batch_size: int, max_length: int) -> np.ndarray:
    """Outputs of a compiled model, (examples, outputs), one row an example in the order of `encoded`.

    Batches are made of examples of similar length; a result does not depend on its batch.
    """
    parts, rows = [], []
    for batch in evaluation_batches(encoded, batch_size, max_length):
        parts.append(np.asarray(forward(batch.inputs)))
        rows.append(batch.rows)
    outputs = np.concatenate(parts)
    ordered = np.empty_like(outputs)
    ordered[np.concatenate(rows)] = outputs
    return ordered


def to_predictions(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Class indices (int64) or scores (float64), (examples,), from outputs (examples, outputs)."""
    if task.is_regression:
        return outputs[:, 0].astype(np.float64)
    return outputs.argmax(axis=-1).astype(np.int64)
