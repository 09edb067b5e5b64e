"""A linear model of the TF-IDF vector of word pieces."""

from __future__ import annotations

from typing import Any

import keras

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.students.bag import TfidfBag
from power_bert.model.text_backbone import TextBackbone, make_inputs


@keras.saving.register_keras_serializable(package="power_bert")
class LinearBackbone(TextBackbone):
    """Logits = W · tfidf(text) + b, exactly: no hidden layer, no dropout.

    The order of words and the segments do not count.

    Args:
        vocabulary_size: number of word pieces.
        num_outputs: classes, or 1 for a score.
        sublinear: whether a term that occurs c times counts 1 + ln c, not c.
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
    """The task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = LinearBackbone
