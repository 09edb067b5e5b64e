"""Predictions for a data set, in the order of its file."""

from __future__ import annotations

import keras
import numpy as np

from power_bert.text.batches import evaluation_batches
from power_bert.text.glue_tasks import Task
from power_bert.text.tokenizer import EncodedTexts
from power_bert.train.feeding import keras_data


def predict_outputs(model: keras.Model, encoded: EncodedTexts, batch_size: int, max_length: int) -> np.ndarray:
    """Outputs of the model, (examples, outputs), one row an example in the order of `encoded`.

    Batches are made of examples of similar length; a result does not depend on its batch.
    """
    batches = list(evaluation_batches(encoded, batch_size, max_length))
    data = keras_data(lambda: iter(batches), len(batches), labels_dtype=None)
    # keras-hub's own `predict` would map its text preprocessing over batches that are arrays already.
    outputs = keras.Model.predict(model, data, verbose=0)
    ordered = np.empty_like(outputs)
    ordered[np.concatenate([batch.rows for batch in batches])] = outputs
    return ordered


def to_predictions(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Class indices (int64) or scores (float64), (examples,), from outputs (examples, outputs)."""
    if task.is_regression:
        return outputs[:, 0].astype(np.float64)
    return outputs.argmax(axis=-1).astype(np.int64)
