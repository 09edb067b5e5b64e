"""Predictions for a data set, in the order of its file."""

from __future__ import annotations

import numpy as np

from power_bert.text.batches import evaluation_batches
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.task import Task
from power_bert.train.forward import Forward


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
