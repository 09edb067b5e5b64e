"""Predictions for a data set, in row order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.predict.example_predictor import ExamplePredictor
from power_bert.predict.forward import Forward, compiled_forward
from power_bert.predict.parallel_batches import batches_at_once, forward_all
from power_bert.text.batches import evaluation_batches
from power_bert.text.examples import Examples
from power_bert_runtime.encoded_texts import EncodedTexts

EVALUATION_BATCH_SIZE = 64


class Predictor(ExamplePredictor):
    """Predictor with a Keras classifier.

    Args:
        classifier: Classifier with its tokenizer; later changes of its weights take effect.
        max_length: Maximum sequence length, in tokens; longer examples are truncated.
    """

    def __init__(self, classifier: PowerBertTextClassifier, max_length: int) -> None:
        self._forward = compiled_forward(classifier)
        self._tokenizer = plain_tokenizer(classifier)
        self._max_length = max_length
        indices = [str(index) for index in range(classifier.num_classes)]
        self.names = None if classifier.is_regressor else classifier.labels or indices

    def outputs(self, examples: Examples) -> np.ndarray:
        """Return logits or scores, (examples, outputs), in the order of the examples.

        Raises:
            UserError: An output is not finite.
        """
        encoded = self._tokenizer.encode(examples.first, examples.second, self._max_length)
        outputs = predict_outputs(self._forward, encoded, EVALUATION_BATCH_SIZE, self._max_length)
        check_outputs(outputs, examples.first)
        return outputs

    def probabilities(self, examples: Examples) -> np.ndarray:
        outputs = self.outputs(examples).astype(np.float64)
        return outputs if self.names is None else softmax(outputs, axis=-1)


def check_outputs(outputs: np.ndarray, texts: Sequence[str]) -> None:
    """Raise a UserError that names a text whose outputs, of (texts, outputs), are not all finite."""
    is_finite = np.isfinite(outputs).all(axis=-1)
    if not is_finite.all():
        raise UserError(
            f"the model's output for {texts[int(np.argmin(is_finite))][:60]!r} is not a number: its weights are not "
            "finite. Train it again with a smaller LR_BERT, or use another model"
        )


def predict_outputs(forward: Forward, encoded: EncodedTexts, batch_size: int, max_length: int) -> np.ndarray:
    """Return the outputs of a compiled model, (examples, outputs), in the order of `encoded`.

    Batches are length-bucketed; those that run at once share the batch size. An output does not depend on its batch.
    """
    share = max(1, batch_size // batches_at_once())
    batches = list(evaluation_batches(encoded, share, max_length))
    outputs = np.concatenate(forward_all(forward, batches))
    ordered = np.empty_like(outputs)
    ordered[np.concatenate([batch.rows for batch in batches])] = outputs
    return ordered
