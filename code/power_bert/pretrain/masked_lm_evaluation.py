"""Evaluation of a masked language model on the test split."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np

from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.predict.forward import compiled_forward
from power_bert.pretrain.masked_batches import Arrays
from power_bert.pretrain.masked_lm_loss import masked_lm_counts
from power_bert.pretrain.training_model import LABELS, WEIGHTS


def make_evaluation(masked_lm: PowerBertMaskedLM, batches: list[Arrays]) -> Callable[[], dict[str, float]]:
    """Make a function that evaluates the current weights of the model; it is compiled once.

    Args:
        masked_lm: Masked language model.
        batches: Batches of `masked_batches.evaluation_arrays`.

    Returns:
        Function that returns "test_loss" (mean cross-entropy in nats), "perplexity" (its exponential) and
        "masked_accuracy" (fraction of masked tokens whose most probable prediction is right).
    """
    inputs = {
        **masked_lm.input,
        LABELS: keras.Input((None,), dtype="int32", name=LABELS),
        WEIGHTS: keras.Input((None,), dtype="float32", name=WEIGHTS),
    }
    logits = masked_lm({name: inputs[name] for name in masked_lm.input})
    counts = _Counts(dtype="float32", name="counts")(logits, inputs[LABELS], inputs[WEIGHTS])
    forward = compiled_forward(keras.Model(inputs, counts))

    def evaluate() -> dict[str, float]:
        sums = [np.asarray(keras.ops.convert_to_numpy(forward(batch)), np.float64) for batch in batches]
        loss, right, weight = np.sum(sums, axis=0)
        mean = float(loss / weight)
        return {"test_loss": mean, "perplexity": math.exp(min(mean, 700.0)), "masked_accuracy": float(right / weight)}

    return evaluate


class _Counts(keras.layers.Layer):
    """Layer that computes `masked_lm_counts` in a functional model."""

    def call(self, logits: object, labels: object, weights: object) -> object:
        return masked_lm_counts(logits, labels, weights)

    def compute_output_spec(self, logits: object, labels: object, weights: object) -> object:
        return keras.KerasTensor((3,), "float32")
