"""Linear model of the TF-IDF vector of the tokens."""

from __future__ import annotations

from typing import Any

import keras

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.students.bag import TfidfBag
from power_bert.model.text_backbone import TextBackbone, make_inputs


@keras.saving.register_keras_serializable(package="power_bert")
class LinearBackbone(TextBackbone):
    """Backbone that computes the logits W · tfidf(text) + b, without hidden layer or dropout.

    The order of the tokens and their segments have no effect.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        num_outputs: Number of classes; 1 for a regressor.
        sublinear: Whether a term that occurs c times counts 1 + ln c instead of c.
    """

    gives_logits = True

    def __init__(
        self, vocabulary_size: int, num_outputs: int, sublinear: bool = True, dtype: Any = None, **kwargs: Any
    ) -> None:
        # === Layers ===
        bag = TfidfBag(vocabulary_size, num_outputs, sublinear, dtype=dtype, name="bag")

        # === Functional Model ===
        inputs = make_inputs()
        outputs = {"pooled_output": bag(inputs["token_ids"], inputs["padding_mask"])}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.bag = bag
        self.vocabulary_size, self.num_outputs, self.sublinear = vocabulary_size, num_outputs, sublinear

    @property
    def output_bias(self) -> keras.Variable:
        """Bias of the logits (or of the score)."""
        return self.bag.bias

    def get_config(self) -> dict[str, Any]:
        names = ("vocabulary_size", "num_outputs", "sublinear")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="power_bert")
class LinearTextClassifier(PowerBertTextClassifier):
    """Task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = LinearBackbone
