"""Predictor with an exported file; imports no Keras."""

from __future__ import annotations

import numpy as np

from power_bert.predict.example_predictor import ExamplePredictor
from power_bert.text.examples import Examples
from power_bert_runtime import Classifier


class ExportedPredictor(ExamplePredictor):
    """Predictor with the runtime of an exported file; longer examples than the file takes are truncated.

    Args:
        classifier: Classifier of the runtime package.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.names = None if classifier.is_regression else classifier.labels
        self._classifier = classifier

    def probabilities(self, examples: Examples) -> np.ndarray:
        first, second = examples.first, examples.second
        texts = first if second is None else list(zip(first, second, strict=True))
        outputs: np.ndarray = self._classifier.run(self._classifier.encode(texts)).astype(np.float64)
        return outputs
