import numpy as np
import pytest

from power_bert.config.distillation import Distillation
from power_bert.config.settings import check_setting
from power_bert.config.values import Schedule
from power_bert.errors import UserError
from power_bert.objectives.weight_schedules import scheduled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", [0.5, 0.5, 0.5, 0.5]),
        ("linear:4:1", [4.0, 3.25, 2.5, 1.0]),
        ("cosine:1:0", [1.0, 0.5 + np.sqrt(0.125), 0.5, 0.0]),
    ],
)
def test_values(text: str, expected: list[float]) -> None:
    schedule = Schedule.parse(text)
    np.testing.assert_allclose(
        [float(scheduled(schedule, progress)) for progress in (0.0, 0.25, 0.5, 1.0)], expected, atol=1e-6
    )
    assert str(schedule) == text
    assert (schedule.smallest, schedule.largest) == (min(expected), max(expected))
    assert float(scheduled(schedule, 1.5)) == pytest.approx(expected[-1])


@pytest.mark.parametrize(
    "text", ["", "high", "linear:1", "linear:1:2:3", "step:1:0", "linear:a:b", "nan", "cosine:1:inf"]
)
def test_bad_schedules(text: str) -> None:
    with pytest.raises(UserError, match=r"^--temperature .*linear:4:1"):
        check_setting(Distillation, "temperature", text)
