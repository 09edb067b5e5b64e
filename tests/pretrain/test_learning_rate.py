"""Tests of power_bert.pretrain.learning_rate."""

import numpy as np
import pytest

from power_bert.pretrain.learning_rate import OneCycle, make_schedule


def test_one_cycle() -> None:
    rates = np.array([float(OneCycle(0.1, 30, 100)(step)) for step in range(101)])
    assert rates[0] == pytest.approx(0.004) and rates[30] == pytest.approx(0.1) and rates[100] == pytest.approx(0)
    assert rates[15] == pytest.approx((0.004 + 0.1) / 2) and rates[65] == pytest.approx(0.05)
    assert (np.diff(rates[:31]) > 0).all() and (np.diff(rates[30:]) < 0).all()
    assert OneCycle.from_config(OneCycle(0.1, 30, 100).get_config()).total_steps == 100


def test_choice() -> None:
    assert isinstance(make_schedule("one-cycle", 0.1, 0.3, 10), OneCycle)
    linear = make_schedule("linear", 0.1, 0.5, 10)
    assert float(linear(4)) == pytest.approx(0.1) and float(linear(0)) == pytest.approx(0.02)
    assert make_schedule("linear", 0.1, 0.0, 1) == 0.1 and float(make_schedule("one-cycle", 0.1, 0.0, 2)(1)) > 0


@pytest.mark.parametrize("values", [(0, 10), (10, 10)])
def test_impossible(values: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="warmup_steps"):
        OneCycle(0.1, *values)
