"""Build classifiers: with a new head on a pretrained encoder, or as copies with other extraction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from power_bert.elimination.configuration import KeptUnits
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.model.pretrained import Pretrained, check_max_length, rebuild_backbone
from power_bert.text.tokenizer import WordPieceTokenizer


def build_classifier(
    pretrained: Pretrained, num_classes: int, labels: Sequence[str] | None, max_length: int
) -> PowerBertTextClassifier:
    """Build a classifier with a new head on a pretrained encoder.

    Args:
        pretrained: Encoder with its tokenizer.
        num_classes: Number of classes; 1 for a regressor.
        labels: Names of the classes; None for a regressor.
        max_length: Max length in tokens; longer texts are truncated.

    Raises:
        UserError: `max_length` exceeds the number of position embeddings of the checkpoint.
    """
    check_max_length(max_length, pretrained.backbone)
    preprocessor = PowerBertTextClassifierPreprocessor(pretrained.tokenizer, max_length)
    return PowerBertTextClassifier(pretrained.backbone, num_classes, preprocessor, labels)


def rebuild_classifier(
    classifier: PowerBertTextClassifier, kept: Sequence[KeptUnits] | None = None, **changes: Any
) -> PowerBertTextClassifier:
    """Copy a classifier, weights included, onto `rebuild_backbone(classifier.backbone, kept, **changes)`."""
    twin = PowerBertTextClassifier(
        rebuild_backbone(classifier.backbone, kept, **changes),
        classifier.num_classes,
        classifier.preprocessor,
        classifier.labels,
        classifier.dropout,
    )
    for weight, value in zip(twin.output_dense.weights, classifier.output_dense.weights, strict=True):
        weight.assign(ops.copy(value))  # as in `rebuild_backbone`
    return twin


def build_without_elimination(classifier: PowerBertTextClassifier) -> PowerBertTextClassifier:
    """Copy a classifier, weights included, without token elimination."""
    return rebuild_classifier(classifier, extraction=None, retention=None)


def tokenizer_of(classifier: PowerBertTextClassifier) -> PowerBertTokenizer:
    """Return the keras-hub tokenizer of a classifier that takes raw strings."""
    if classifier.preprocessor is None:
        raise ValueError("the classifier has no preprocessor, so it has no tokenizer")
    return classifier.preprocessor.tokenizer


def plain_tokenizer(classifier: PowerBertTextClassifier) -> WordPieceTokenizer:
    """Return the WordPiece tokenizer of a classifier that takes raw strings."""
    return tokenizer_of(classifier).word_pieces
