"""The students: small text classifiers with the inputs of a BERT.

To add a kind, write its backbone and task class in a module of its own, and add a row to `KINDS` and one to
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
    """A student's encoder, at its random start.

    Args:
        student: its name, as "bilstm" or "bert-tiny".
        vocabulary_size: number of word pieces.
        num_outputs: classes, or 1 for a score.
        options: further arguments of the encoder's constructor.

    Raises:
        UserError: an unknown student or option, or an impossible value; names the choices.
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
    """Raises a UserError where an option is not of the kind of its default: layers take some nonsense silently."""

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
    """Constructor arguments of a student's encoder that a user may set."""
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
    """A classifier on a student's encoder.

    Args:
        backbone: the encoder.
        tokenizer: of its vocabulary.
        max_length: word pieces of an example at most.
        num_outputs: classes, or 1 for a score.
        labels: names of the classes; None for a score.
        dropout: rate before the head, where there is one.
    """
    preprocessor = PowerBertTextClassifierPreprocessor(tokenizer, max_length)
    classifier_cls = _CLASSIFIERS[type(backbone)]
    return classifier_cls(backbone, num_outputs, preprocessor, labels, dropout)


_CLASSIFIERS: Mapping[type[TextBackbone], type[PowerBertTextClassifier]] = {
    **dict(KINDS.values()),
    EnsembleBackbone: EnsembleTextClassifier,
}
