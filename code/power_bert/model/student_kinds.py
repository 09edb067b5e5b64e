"""The names of the students and the settings with which each usually trains well; needs no Keras."""

from __future__ import annotations

import re
from dataclasses import dataclass

from power_bert.errors import UserError
from power_bert.settings import ADAMW_EPSILON

BERT = "bert"
# Name → blocks, hidden dimension; Turc et al. (2019, arXiv 1908.08962), whose heads are 64 wide and whose feed-forward
# layers are 4 times the hidden dimension.
BERT_SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512)}
_HEAD_DIM = 64
_WIDENING = 4
_BLOCKS_AND_HIDDEN = re.compile(r"([1-9][0-9]?)x([1-9][0-9]{0,3})")


@dataclass(frozen=True)
class StudentDefaults:
    """Settings of a kind of student where the user gives none.

    Attributes:
        learning_rate: peak rate of AdamW.
        epochs: passes over the training data.
        batch_size: examples of a batch.
        max_length: word pieces of an example at most; None takes the task's.
        epsilon: of AdamW, added to the root of the mean squared gradient.
        alpha: weight of the true labels against the teachers.
        temperature: of soft labels.
    """

    learning_rate: float
    epochs: int
    batch_size: int = 32
    max_length: int | None = None
    epsilon: float = ADAMW_EPSILON
    alpha: str = "0.1"
    temperature: str = "2"


# Bags of word pieces have no positions: a longer text costs them next to nothing.
STUDENT_DEFAULTS: dict[str, StudentDefaults] = {
    BERT: StudentDefaults(learning_rate=3e-4, epochs=6),
    "bilstm": StudentDefaults(learning_rate=3e-3, epochs=8),
    "cnn": StudentDefaults(learning_rate=1e-3, epochs=8),
    # AdamW moves the weights of rare and of frequent word pieces equally far, and a linear model then learns the rare
    # ones by heart. A large epsilon lets the size of the gradient count. What a linear model cannot follow of softer
    # labels costs it more than they teach it.
    "linear": StudentDefaults(5e-2, epochs=15, max_length=512, epsilon=1e-3, alpha="0.5", temperature="1"),
    "mlp": StudentDefaults(learning_rate=1e-3, epochs=10, max_length=512),
}
STUDENT_NAMES = (
    *(f"{BERT}-{size}" for size in BERT_SIZES),
    f"{BERT}-LxH",
    *(name for name in STUDENT_DEFAULTS if name != BERT),
)


def kind_of(student: str) -> str:
    """The kind of a student's name: "bert" of "bert-tiny".

    Raises:
        UserError: there is no such student; lists the choices.
    """
    kind, _, size = student.partition("-")
    if kind not in STUDENT_DEFAULTS or (kind == BERT) != bool(size):
        raise UserError(f"student {student!r} is unknown: expected one of {', '.join(STUDENT_NAMES)}")
    if size:
        bert_size(size)
    return kind


def student_defaults(student: str) -> StudentDefaults:
    """The defaults of a student's kind; UserError where there is no such student."""
    return STUDENT_DEFAULTS[kind_of(student)]


def bert_size(text: str) -> dict[str, int]:
    """Constructor arguments from a name ("tiny") or from blocks × hidden dimension ("3x192").

    Raises:
        UserError: neither.
    """
    match = _BLOCKS_AND_HIDDEN.fullmatch(text)
    if text not in BERT_SIZES and match is None:
        raise UserError(
            f"student bert-{text} is unknown: expected bert-{', bert-'.join(BERT_SIZES)}, or blocks and hidden "
            "dimension as in bert-3x192"
        )
    num_layers, hidden_dim = BERT_SIZES[text] if match is None else (int(match[1]), int(match[2]))
    num_heads = max(1, hidden_dim // _HEAD_DIM)
    if hidden_dim % num_heads:
        raise UserError(
            f"student bert-{text}: {num_heads} heads do not divide the hidden dimension {hidden_dim}; give a multiple "
            f"of {_HEAD_DIM}, or one below it"
        )
    return {
        "num_layers": num_layers,
        "num_heads": num_heads,
        "hidden_dim": hidden_dim,
        "intermediate_dim": _WIDENING * hidden_dim,
    }
