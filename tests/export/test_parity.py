"""The comparison of a file with Keras, and what is too much."""

import numpy as np
import pytest

from power_bert.export.parity import TOLERANCES, Tolerance, compare, evenly_spaced
from power_bert.text.glue_tasks import get_task

LABELS = np.array([0, 1] * 100)


def probabilities(of_one: np.ndarray) -> np.ndarray:
    return np.stack([1 - of_one, of_one], axis=1)


def test_equal_outputs_have_no_fault() -> None:
    outputs = probabilities(np.linspace(0.01, 0.99, 200))
    parity = compare(get_task("mrpc"), LABELS, outputs, outputs)
    assert parity.difference == 0 and parity.agreement == 1 and parity.points_lost == 0
    assert all(parity.faults(tolerance) == [] for tolerance in TOLERANCES.values())


def test_float32_may_differ_by_a_ten_thousandth() -> None:
    keras = probabilities(np.full(200, 0.3))
    within, beyond = (compare(get_task("mrpc"), LABELS, keras, keras + by) for by in (0.9e-4, 1.1e-4))
    assert within.faults(TOLERANCES["none"]) == []
    assert beyond.faults(TOLERANCES["none"]) == ["largest difference 1.1e-04, allowed 1e-04"]


@pytest.mark.parametrize(("quantize", "allowed"), [("float16", 1), ("dynamic", 1), ("int8", 3)])
def test_labels_that_flip(quantize: str, allowed: int) -> None:
    of_one = np.where(LABELS == 1, 0.9, 0.1)
    for flipped in (allowed, allowed + 1):
        other = of_one.copy()
        other[:flipped] = 1 - other[:flipped]
        parity = compare(get_task("sst-2"), LABELS, probabilities(of_one), probabilities(other))
        faults = parity.faults(Tolerance(agreement=TOLERANCES[quantize].agreement))
        assert bool(faults) == (flipped > allowed)


def test_points_lost() -> None:
    of_one = np.where(LABELS == 1, 0.9, 0.1)
    worse = np.where(np.arange(200) < 2, 1 - of_one, of_one)
    parity = compare(get_task("sst-2"), LABELS, probabilities(of_one), probabilities(worse))
    assert parity.points_lost == pytest.approx(1.0)
    assert parity.faults(TOLERANCES["int8"]) == ["1.00 points lost, allowed 0.5"]
    better = compare(get_task("sst-2"), LABELS, probabilities(worse), probabilities(of_one))
    assert better.faults(TOLERANCES["int8"]) == []


def test_a_regression_is_held_to_the_correlation() -> None:
    scores = np.linspace(0, 5, 50)[:, None]
    task = get_task("sts-b")
    noise = np.random.default_rng(0).normal(size=scores.shape)
    close, far = (compare(task, scores[:, 0], scores, scores + by * noise) for by in (0.01, 2.0))
    assert close.faults(TOLERANCES["int8"]) == []
    assert "correlation" in far.faults(TOLERANCES["int8"])[0]
    assert "correlation" in str(far) and "scores" in str(far)


def test_nothing_finite_is_never_right() -> None:
    outputs = probabilities(np.full(200, 0.3))
    parity = compare(get_task("mrpc"), LABELS, outputs, outputs * np.nan)
    assert parity.faults(TOLERANCES["none"])


def test_evenly_spaced() -> None:
    assert evenly_spaced(5).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(9, at_most=3).tolist() == [0, 4, 8]
    assert len(evenly_spaced(10_000)) == 2000
