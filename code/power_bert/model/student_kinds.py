"""Names of the students and default training settings of each kind; does not import Keras."""

from __future__ import annotations

import re
from dataclasses import dataclass

from power_bert.errors import UserError

# Default AdamW epsilon, as in BERT.
ADAMW_EPSILON = 1e-6
BERT = "bert"
# Name → blocks, hidden dimension (Turc et al. 2019, arXiv 1908.08962). There the head dimension is 64, and the
# feed-forward layers have 4 times the hidden dimension.
BERT_SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512)}
_HEAD_DIM = 64
_WIDENING = 4
_BLOCKS_AND_HIDDEN = re.compile(r"([1-9][0-9]?)x([1-9][0-9]{0,3})")


@dataclass(frozen=True)
class StudentDefaults:
    """Default training settings of one kind of student.

    Attributes:
        learning_rate: Peak learning rate of AdamW.
        epochs: Number of passes over the training data.
        batch_size: Examples per batch.
        max_length: Max length in tokens; None uses the task's.
        epsilon: AdamW epsilon, added to the root of the mean squared gradient.
        alpha: Weight of the true labels against the soft labels; a schedule.
        temperature: Temperature of the soft labels; a schedule.
    """

    learning_rate: float
    epochs: int
    batch_size: int = 32
    max_length: int | None = None
    epsilon: float = ADAMW_EPSILON
    alpha: float = 0.1
    temperature: float = 2.0


# Bag-of-tokens students have no positions: long texts cost them almost nothing, hence max length 512.
STUDENT_DEFAULTS: dict[str, StudentDefaults] = {
    BERT: StudentDefaults(learning_rate=3e-4, epochs=6),
    "bilstm": StudentDefaults(learning_rate=3e-3, epochs=8),
    "cnn": StudentDefaults(learning_rate=1e-3, epochs=8),
    # AdamW moves the weights of rare and of frequent tokens equally far, and a linear model then overfits to the rare
    # ones. A large epsilon lets the size of the gradient count. Soft labels that a linear model cannot fit cost it more
    # than they teach it, hence the higher alpha and the lower temperature.
    "linear": StudentDefaults(5e-2, epochs=15, max_length=512, epsilon=1e-3, alpha=0.5, temperature=1.0),
    "mlp": StudentDefaults(learning_rate=1e-3, epochs=10, max_length=512),
}
STUDENT_NAMES = (
    *(f"{BERT}-{size}" for size in BERT_SIZES),
    f"{BERT}-LxH",
    *(name for name in STUDENT_DEFAULTS if name != BERT),
)


def kind_of(student: str) -> str:
    """Return the kind of a student, such as "bert" for "bert-tiny".

    Raises:
        UserError: The student is unknown; the message lists the choices.
    """
    kind, _, size = student.partition("-")
    if kind not in STUDENT_DEFAULTS or (kind == BERT) != bool(size):
        raise UserError(f"student {student!r} is unknown: expected one of {', '.join(STUDENT_NAMES)}")
    if size:
        bert_size(size)
    return kind


def student_defaults(student: str) -> StudentDefaults:
    """Return the defaults of a student's kind; raises a UserError if the student is unknown."""
    return STUDENT_DEFAULTS[kind_of(student)]


def bert_size(text: str) -> dict[str, int]:
    """Return constructor arguments for a name ("tiny") or for blocks × hidden dimension ("3x192").

    Raises:
        UserError: The size is neither, or its heads do not divide the hidden dimension.
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
