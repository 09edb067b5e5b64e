"""The students: small text classifiers with the inputs of a BERT.

To add a kind, write its backbone and task class in a module of its own and add a row to `KINDS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.model.students.bert import SIZES, bert_size
from power_bert.model.students.bilstm import BiLstmBackbone, BiLstmTextClassifier
from power_bert.model.students.cnn import CnnBackbone, CnnTextClassifier
from power_bert.model.students.ensemble import EnsembleBackbone, EnsembleTextClassifier
from power_bert.model.students.linear import LinearBackbone, LinearTextClassifier
from power_bert.model.students.mlp import MlpBackbone, MlpTextClassifier
from power_bert.model.text_backbone import TextBackbone

BERT = "bert"


@dataclass(frozen=True)
class StudentKind:
    """A kind of student and the settings with which it usually trains well.

    Attributes:
        backbone_cls: its encoder.
        classifier_cls: its keras-hub task.
        learning_rate: peak rate of AdamW.
        epochs: passes over the training data.
        batch_size: examples of a batch.
        max_length: word pieces of an example at most; None takes the task's.
    """

    backbone_cls: type[TextBackbone]
    classifier_cls: type[PowerBertTextClassifier]
    learning_rate: float
    epochs: int
    batch_size: int = 32
    max_length: int | None = None


KINDS: dict[str, StudentKind] = {
    BERT: StudentKind(PowerBertBackbone, PowerBertTextClassifier, learning_rate=3e-4, epochs=6),
    "bilstm": StudentKind(BiLstmBackbone, BiLstmTextClassifier, learning_rate=1e-3, epochs=8),
    "cnn": StudentKind(CnnBackbone, CnnTextClassifier, learning_rate=1e-3, epochs=8),
    "linear": StudentKind(LinearBackbone, LinearTextClassifier, learning_rate=2e-2, epochs=15, max_length=512),
    "mlp": StudentKind(MlpBackbone, MlpTextClassifier, learning_rate=1e-3, epochs=10, max_length=512),
}
STUDENT_NAMES = (*(f"{BERT}-{size}" for size in SIZES), f"{BERT}-LxH", *(name for name in KINDS if name != BERT))


def kind_of(student: str) -> str:
    """The kind of a student's name: "bert" of "bert-tiny".

    Raises:
        UserError: there is no such student; lists the choices.
    """
    kind, _, size = student.partition("-")
    if kind not in KINDS or (kind != BERT and size):
        raise UserError(f"student {student!r} is unknown: expected one of {', '.join(STUDENT_NAMES)}")
    if size:
        bert_size(size)
    return kind


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
    kind = KINDS[kind_of(student)]
    known = option_names(student)
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"student {student} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    arguments: dict[str, Any] = {"vocabulary_size": vocabulary_size}
    if kind.backbone_cls is PowerBertBackbone:
        arguments |= bert_size(student.partition("-")[2])
    if kind.backbone_cls is LinearBackbone:
        arguments["num_outputs"] = num_outputs
    try:
        return kind.backbone_cls(**arguments | options)
    except (TypeError, ValueError) as error:
        raise UserError(f"student {student}: {error}") from None


def option_names(student: str) -> list[str]:
    """Constructor arguments of a student's encoder that a user may set."""
    parameters = inspect.signature(KINDS[kind_of(student)].backbone_cls.__init__).parameters
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
    **{kind.backbone_cls: kind.classifier_cls for kind in KINDS.values()},
    EnsembleBackbone: EnsembleTextClassifier,
}
