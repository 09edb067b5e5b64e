"""Build students: small text classifiers with the inputs of a BERT.

To add a kind, write its backbone and task class in a new module, and add a row to `KINDS` and one to
`power_bert.model.student_kinds.STUDENT_DEFAULTS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.model.student_kinds import BERT, bert_size, kind_of
from power_bert.model.students.bilstm import BiLstmBackbone, BiLstmTextClassifier
from power_bert.model.students.cnn import CnnBackbone, CnnTextClassifier
from power_bert.model.students.ensemble import EnsembleBackbone, EnsembleTextClassifier
from power_bert.model.students.linear import LinearBackbone, LinearTextClassifier
from power_bert.model.students.mlp import MlpBackbone, MlpTextClassifier
from power_bert.model.text_backbone import TextBackbone

KINDS: Mapping[str, tuple[type[TextBackbone], type[PowerBertTextClassifier]]] = {
    BERT: (PowerBertBackbone, PowerBertTextClassifier),
    "bilstm": (BiLstmBackbone, BiLstmTextClassifier),
    "cnn": (CnnBackbone, CnnTextClassifier),
    "linear": (LinearBackbone, LinearTextClassifier),
    "mlp": (MlpBackbone, MlpTextClassifier),
}


def build_backbone(student: str, vocabulary_size: int, num_outputs: int, **options: Any) -> TextBackbone:
    """Build the encoder of a student with random initialization.

    Args:
        student: Name of the student, such as "bilstm" or "bert-tiny".
        vocabulary_size: Number of tokens in the vocabulary.
        num_outputs: Number of classes; 1 for a regressor.
        options: Further arguments of the encoder's constructor.

    Raises:
        UserError: The student or an option is unknown, or a value is invalid; the message names the choices.
    """
    backbone_cls, _ = KINDS[kind_of(student)]
    known = option_names(student)
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"student {student} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    parameters = inspect.signature(backbone_cls.__init__).parameters
    for name, value in options.items():
        _check_option(student, name, value, parameters[name].default)
    arguments: dict[str, Any] = {"vocabulary_size": vocabulary_size}
    if backbone_cls is PowerBertBackbone:
        arguments |= bert_size(student.partition("-")[2])
    if backbone_cls is LinearBackbone:
        arguments["num_outputs"] = num_outputs
    try:
        return backbone_cls(**arguments | options)
    except (TypeError, ValueError) as error:
        raise UserError(f"student {student}: {error}") from None


def _check_option(student: str, name: str, value: Any, default: Any) -> None:
    """Raise a UserError if an option has another type than its default: layers accept some invalid values silently."""

    def is_size(each: Any) -> bool:
        return isinstance(each, int) and not isinstance(each, bool) and each > 0

    if isinstance(default, bool):
        fits, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, int) or default is inspect.Parameter.empty:
        fits, expected = is_size(value), "a whole number above 0"
    elif isinstance(default, float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits, expected = is_number and value >= 0, "a number from 0"
    elif isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and bool(value) and all(map(is_size, value))
        expected = f"whole numbers above 0, as in {default}"
    else:
        return
    if not fits:
        raise UserError(f"student {student}: {name}={value!r}; expected {expected}")


def option_names(student: str) -> list[str]:
    """List the constructor arguments of a student's encoder that a user may set."""
    parameters = inspect.signature(KINDS[kind_of(student)][0].__init__).parameters
    fixed = ("self", "kwargs", "dtype", "vocabulary_size", "num_outputs", "extraction", "retention")
    return [name for name in parameters if name not in fixed]


def build_student(
    backbone: TextBackbone,
    tokenizer: PowerBertTokenizer,
    max_length: int,
    num_outputs: int,
    labels: Sequence[str] | None,
    dropout: float,
) -> PowerBertTextClassifier:
    """Build a classifier on a student's encoder.

    Args:
        backbone: Encoder of the student.
        tokenizer: Tokenizer with the encoder's vocabulary.
        max_length: Max length in tokens; longer texts are truncated.
        num_outputs: Number of classes; 1 for a regressor.
        labels: Names of the classes; None for a regressor.
        dropout: Dropout rate of the pooled output, if the student has a head.
    """
    preprocessor = PowerBertTextClassifierPreprocessor(tokenizer, max_length)
    classifier_cls = _CLASSIFIERS[type(backbone)]
    return classifier_cls(backbone, num_outputs, preprocessor, labels, dropout)


_CLASSIFIERS: Mapping[type[TextBackbone], type[PowerBertTextClassifier]] = {
    **dict(KINDS.values()),
    EnsembleBackbone: EnsembleTextClassifier,
}
