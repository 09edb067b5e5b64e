"""Tiny students of every kind and inputs for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

# Student → options that make it tiny.
TINY: dict[str, dict[str, Any]] = {
    "bert-2x12": {"num_heads": 3, "intermediate_dim": 17},
    "bilstm": {"embedding_dim": 6, "units": 5, "hidden_dim": 7},
    "cnn": {"embedding_dim": 6, "filters": 3, "widths": (2, 3)},
    "linear": {},
    "mlp": {"hidden_dims": (6, 5)},
}
NUM_CLASSES = 3


@pytest.fixture
def make_student(vocabulary: list[str], randomize: Callable[..., Any]) -> Callable[..., Any]:
    """A tiny student with random weights; "ensemble" is a CNN and an MLP."""

    def make(student: str, num_outputs: int = NUM_CLASSES, **changes: Any) -> Any:
        from power_bert.model.preprocessor import PowerBertTokenizer
        from power_bert.model.students import build_backbone, build_student
        from power_bert.model.students.ensemble import EnsembleBackbone

        if student == "ensemble":
            backbone: Any = EnsembleBackbone.of([make(member, num_outputs) for member in ("cnn", "mlp")])
        else:
            backbone = build_backbone(student, len(vocabulary), num_outputs, **TINY[student] | changes)
        labels = None if num_outputs == 1 else ["no", "yes", "maybe"][:num_outputs]
        classifier = build_student(backbone, PowerBertTokenizer(vocabulary), 24, num_outputs, labels, 0.2)
        return randomize(classifier)

    return make


@pytest.fixture(params=[*TINY, "ensemble"])
def student(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def logits() -> Callable[..., np.ndarray]:
    """The logits of a classifier for arrays."""

    def compute(classifier: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(classifier(inputs))

    return compute
