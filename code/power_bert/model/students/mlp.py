"""Multilayer perceptron on the TF-IDF vector of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.students.bag import TfidfBag
from power_bert.model.text_backbone import TextBackbone, make_inputs

_INITIAL_RANGE = 0.1


@keras.saving.register_keras_serializable(package="power_bert")
class MlpBackbone(TextBackbone):
    """Backbone of ReLU layers on the TF-IDF vector that `LinearBackbone` uses.

    The first layer has vocabulary_size × hidden_dims[0] weights.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        hidden_dims: Dimensions of the hidden layers, at least one.
        dropout: Dropout rate after each hidden layer except the last, whose output the head drops out.
        sublinear: Whether a term that occurs c times counts 1 + ln c instead of c.
    """

    def __init__(
        self,
        vocabulary_size: int,
        hidden_dims: Sequence[int] = (128, 128),
        dropout: float = 0.3,
        sublinear: bool = True,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        bag = TfidfBag(vocabulary_size, hidden_dims[0], sublinear, _INITIAL_RANGE, dtype=dtype, name="bag")
        further = [
            keras.layers.Dense(width, activation="relu", dtype=dtype, name=f"hidden_{number}")
            for number, width in enumerate(hidden_dims[1:], start=1)
        ]

        # === Functional Model ===
        inputs = make_inputs()
        hidden = keras.layers.ReLU(dtype=dtype, name="hidden_0")(bag(inputs["token_ids"], inputs["padding_mask"]))
        for layer in further:
            hidden = layer(keras.layers.Dropout(dropout, dtype=dtype, name=f"{layer.name}_dropout")(hidden))
        super().__init__(inputs=inputs, outputs={"pooled_output": hidden}, dtype=dtype, **kwargs)

        # === Config ===
        self.bag = bag
        self.vocabulary_size, self.hidden_dims = vocabulary_size, tuple(hidden_dims)
        self.dropout, self.sublinear = dropout, sublinear

    def get_config(self) -> dict[str, Any]:
        names = ("vocabulary_size", "hidden_dims", "dropout", "sublinear")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="power_bert")
class MlpTextClassifier(PowerBertTextClassifier):
    """Task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = MlpBackbone
