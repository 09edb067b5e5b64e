"""Ensemble of several students in one model."""

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
    """Compute the logits of the members' mean probabilities, log(Σ_m softmax(z_m) / M).

    Args:
        logits: Logits z_m of each of the M members, (batch, classes).

    Returns:
        Logits, (batch, classes).
    """
    log_probabilities = [ops.log_softmax(values, axis=-1) for values in logits]  # M × (batch, classes)
    return ops.logsumexp(ops.stack(log_probabilities, axis=0), axis=0) - math.log(len(log_probabilities))


@keras.saving.register_keras_serializable(package="power_bert")
class EnsembleBackbone(TextBackbone):
    """Backbone that averages the probabilities (or scores) of several classifiers with the same tokenizer.

    Args:
        members: Serialized classifiers; `EnsembleBackbone.of` makes them, weights included, from classifiers.
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
        """Build an ensemble from at least one classifier, all with the same classes; their weights are copied.

        Raises:
            ValueError: There is no classifier, or they differ in their number of classes.
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
    """Serialize a classifier without its tokenizer: the ensemble has one tokenizer for all members."""
    serialized: dict[str, Any] = keras.saving.serialize_keras_object(classifier)
    serialized["config"]["preprocessor"] = None
    serialized.pop("compile_config", None)  # members are not trained on their own
    return serialized


def _named(member: Mapping[str, Any], name: str) -> PowerBertTextClassifier:
    config = copy.deepcopy(dict(member))
    config["config"]["name"] = name
    classifier: PowerBertTextClassifier = keras.saving.deserialize_keras_object(config)
    return classifier


@keras.saving.register_keras_serializable(package="power_bert")
class EnsembleTextClassifier(PowerBertTextClassifier):
    """Task class by which keras-hub finds a classifier on this backbone."""

    backbone_cls = EnsembleBackbone
