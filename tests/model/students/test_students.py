"""Students: scores and options; what every classifier must do is in test_models.py."""

from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.model.student_kinds import kind_of
from power_bert.model.students.build_student import build_backbone


def test_a_regressor(student: str, make_student: Any, make_inputs: Any) -> None:
    classifier = make_student(student, num_outputs=1)
    assert classifier.is_regressor
    assert np.asarray(classifier(make_inputs())).shape == (3, 1)


@pytest.mark.parametrize("name", ["gru", "linear-2x3", "bert-huge", "bert-3", "bert-2x200"])
def test_an_unknown_student_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"bert-|linear"):
        build_backbone(name, 31, 2)


def test_options_are_checked() -> None:
    with pytest.raises(UserError, match="student cnn has no setting units; it has embedding_dim, filters, widths"):
        build_backbone("cnn", 31, 2, units=3)
    with pytest.raises(UserError, match="student bilstm"):
        build_backbone("bilstm", 31, 2, units="many")
    assert kind_of("bert-tiny") == "bert"
