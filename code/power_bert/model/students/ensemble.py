"""Several students as one model."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.text_backbone import TextBackbone, make_inputs


def mean_logits(logits: Sequence[Any]) -> Any:
    """Logits of the mean of the members' probabilities: log Σ_m softmax(z_m) / M, (batch, classes).

    Args:
        logits: of each member, (batch, classes).
    """
    log_probabilities = [ops.log_softmax(values, axis=-1) for values in logits]
    return ops.logsumexp(ops.stack(log_probabilities, axis=0), axis=0) - math.log(len(log_probabilities))


@keras.saving.register_keras_serializable(package="power_bert")
class EnsembleBackbone(TextBackbone):
    """The average of the probabilities (or scores) of several classifiers that read the same word pieces.

    Args:
        members: serialised classifiers; `EnsembleBackbone.of` makes them, weights included, from classifiers.
    """

    gives_logits = True

    def __init__(self, members: Sequence[Mapping[str, Any]], dtype: Any = None, **kwargs: Any) -> None:
        # === Layers ===
        classifiers = [_named(member, f"member_{number}") for number, member in enumerate(members)]

        # === Functional Model ===
        inputs = make_inputs()
        logits = [classifier(inputs) for classifier in classifiers]
        is_regressor = classifiers[0].is_regressor
        outputs = {"pooled_output": ops.mean(ops.stack(logits), axis=0) if is_regressor else mean_logits(logits)}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.classifiers = classifiers
        self.members = [copy.deepcopy(dict(member)) for member in members]
        self.vocabulary_size = classifiers[0].backbone.vocabulary_size
        self.max_sequence_length = min(classifier.backbone.max_sequence_length for classifier in classifiers)

    @classmethod
    def of(cls, classifiers: Sequence[PowerBertTextClassifier]) -> EnsembleBackbone:
        """From classifiers with the same classes, at least one; their weights are copied.

        Raises:
            ValueError: there are none, or they differ in their classes.
        """
        if len({classifier.num_classes for classifier in classifiers}) != 1:
            raise ValueError("expected at least one classifier, and all with the same number of classes")
        ensemble = cls([_serialized(classifier) for classifier in classifiers])
        for member, classifier in zip(ensemble.classifiers, classifiers, strict=True):
            member.set_weights(classifier.get_weights())
        return ensemble

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "members": self.members}


def _serialized(classifier: PowerBertTextClassifier) -> dict[str, Any]:
    """The classifier without its tokenizer: the ensemble has one for all."""
    serialized: dict[str, Any] = keras.saving.serialize_keras_object(classifier)
    serialized["config"]["preprocessor"] = None
    serialized.pop("compile_config", None)  # a member is not trained by itself
    return serialized


def _named(member: Mapping[str, Any], name: str) -> PowerBertTextClassifier:
    config = copy.deepcopy(dict(member))
    config["config"]["name"] = name
    classifier: PowerBertTextClassifier = keras.saving.deserialize_keras_object(config)
    return classifier


@keras.saving.register_keras_serializable(package="power_bert")
class EnsembleTextClassifier(PowerBertTextClassifier):
    """The task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = EnsembleBackbone
