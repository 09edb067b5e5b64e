"""The comparison of a file with Keras, and what is too much."""

from typing import Any

import numpy as np
import pytest

from power_bert.export.parity import Agreement, Limits, Parity, evenly_spaced
from power_bert.text.glue_tasks import get_task

LABELS = np.array([0, 1] * 100)
FORMS = ("none", "float16", "dynamic", "int8")
NUMERIC = Limits.of("none")
USUAL = Limits.of("int8")


def probabilities(of_one: np.ndarray) -> np.ndarray:
    return np.stack([1 - of_one, of_one], axis=1)


def compare(task: str, labels: np.ndarray, keras: np.ndarray, file: np.ndarray) -> Parity:
    return Parity.of(get_task(task), labels, (keras, file), (keras[:3], keras[:3]))


def test_equal_outputs_have_no_fault() -> None:
    outputs = probabilities(np.linspace(0.01, 0.99, 200))
    parity = compare("mrpc", LABELS, outputs, outputs)
    assert parity.dev == Agreement(200, 1.0, 0.0, 0.0) and parity.elsewhere == Agreement(3, 1.0, 0.0, 0.0)
    assert parity.points_lost == 0
    assert all(parity.faults(Limits.of(form)) == [] for form in FORMS)


def test_one_principle_for_all_forms() -> None:
    assert {Limits.of(form).agreement for form in FORMS} == {0.985}
    assert {Limits.of(form).points_lost for form in FORMS} == {0.5}
    assert [Limits.of(form).differing for form in FORMS] == [0.0, None, None, None]
    assert all(Limits.of(form, 97.5) == Limits(0.975, None, None) for form in FORMS)


def test_float32_may_differ_by_a_ten_thousandth() -> None:
    keras = probabilities(np.full(200, 0.3))
    within, beyond = (compare("mrpc", LABELS, keras, keras + by) for by in (0.9e-4, 1.1e-4))
    assert within.faults(NUMERIC) == []
    assert beyond.faults(NUMERIC) == ["largest difference 1.1e-04, at most 1e-04 allowed"]
    assert beyond.faults(USUAL) == []


@pytest.mark.parametrize(("turned", "refused"), [(2, False), (3, True)])
def test_rounding_may_turn_the_choice_of_tokens_in_few_examples(turned: int, refused: bool) -> None:
    keras = probabilities(np.full(200, 0.3))
    file = keras.copy()
    file[:turned] += 0.01
    parity = compare("mrpc", LABELS, keras, file)
    fault = "largest difference 1.0e-02, at most 1e-04 allowed but in 1 % of the examples"
    assert parity.faults(Limits.of("none", eliminates=True)) == ([fault] if refused else [])
    assert parity.faults(NUMERIC) == ["largest difference 1.0e-02, at most 1e-04 allowed"]
    file[0] = np.nan
    assert compare("mrpc", LABELS, keras, file).dev.differing == pytest.approx(turned / 200)


@pytest.mark.parametrize(("flipped", "refused"), [(3, False), (4, True)])
def test_labels_that_flip(flipped: int, refused: bool) -> None:
    of_one = np.where(LABELS == 1, 0.9, 0.1)
    other = of_one.copy()
    other[:flipped] = 1 - other[:flipped]
    # Keras is wrong where the file differs, so nothing is lost.
    parity = compare("sst-2", (other > 0.5).astype(int), probabilities(of_one), probabilities(other))
    assert parity.points_lost == pytest.approx(-flipped / 2)
    expected = ["label agreement 98.00 %, at least 98.5 % needed"] if refused else []
    assert parity.faults(USUAL) == expected


def test_points_lost() -> None:
    of_one = np.where(LABELS == 1, 0.9, 0.1)
    worse = np.where(np.arange(200) < 2, 1 - of_one, of_one)
    parity = compare("sst-2", LABELS, probabilities(of_one), probabilities(worse))
    assert parity.points_lost == pytest.approx(1.0)
    assert parity.faults(USUAL) == ["1.00 points of accuracy lost, at most 0.5 allowed"]
    assert parity.faults(Limits.of("int8", 99)) == []
    better = compare("sst-2", LABELS, probabilities(worse), probabilities(of_one))
    assert better.faults(USUAL) == []


def test_limits_that_are_just_met() -> None:
    """0.5 points and 99.2 %, which are 0.5000000000000004 and 0.992 of 0.9920000000000001 in floating point."""
    of_one = np.where(LABELS == 1, 0.9, 0.1)
    worse = np.where(np.arange(200) < 1, 1 - of_one, of_one)
    parity = compare("sst-2", LABELS, probabilities(of_one), probabilities(worse))
    assert parity.points_lost == pytest.approx(0.5) and parity.faults(USUAL) == []
    assert parity.faults(Limits.of("none", 99.5)) == []


def test_the_label_agreement_does_not_hide_a_rare_class() -> None:
    labels = np.array([1] * 4 + [0] * 396)
    keras = np.where(labels == 1, 0.9, 0.1)
    parity = compare("cola", labels, probabilities(keras), probabilities(np.full(400, 0.1)))
    assert parity.dev.share == 0.99
    assert parity.faults(USUAL) == ["100.00 points of matthews lost, at most 0.5 allowed"]


def test_a_regression_is_held_to_the_correlation() -> None:
    scores = np.linspace(0, 5, 50)[:, None]
    noise = np.random.default_rng(0).normal(size=scores.shape)
    close, far = (compare("sts-b", scores[:, 0], scores, scores + by * noise) for by in (0.01, 2.0))
    assert close.faults(USUAL) == []
    assert "correlation of scores" in far.faults(USUAL)[0]
    assert "correlation of scores" in str(far) and "difference of scores" in str(far)


@pytest.mark.filterwarnings("error")
def test_a_constant_score_has_no_correlation() -> None:
    scores = np.linspace(0, 5, 50)[:, None]
    parity = compare("sts-b", scores[:, 0], scores, np.ones_like(scores))
    assert parity.faults(USUAL)[0] == "correlation of scores undefined, at least 98.5 % needed"


def test_nothing_finite_is_never_right() -> None:
    outputs = probabilities(np.full(200, 0.3))
    assert compare("mrpc", LABELS, outputs, outputs * np.nan).faults(NUMERIC)


def test_evenly_spaced() -> None:
    assert evenly_spaced(5).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(9, at_most=3).tolist() == [0, 4, 8]
    assert len(evenly_spaced(10_000)) == 2000


@pytest.mark.parametrize(
    ("form", "eliminates", "share", "expected", "absent"),
    [
        ("dynamic", True, 0.992, ("--quantize int8 (", "RETENTION_JITTER=0.3 (", "--min-agreement 99.2 ("), "report"),
        ("dynamic", False, 0.97, ("--quantize float16 (twice",), "RETENTION_JITTER"),
        ("float16", True, 0.97, ("--quantize none (twice",), "RETENTION_JITTER"),
        ("none", True, 0.97, ("report",), "--quantize"),
        ("auto", True, float("nan"), ("report",), "--min-agreement"),
    ],
)
def test_ways_out(form: str, eliminates: bool, share: float, expected: tuple[str, ...], absent: str) -> None:
    from power_bert.export.forms import ways_out

    agreement = Agreement(500, share, 0.1, 1.0)
    parity: Any = Parity(get_task("cola"), agreement, agreement, {}, {})
    said = ways_out(form, {64: parity}, eliminates)
    assert all(part in said for part in expected) and absent not in said
    assert "float16" not in ways_out(form, {64: parity}, eliminates, ("dynamic", "int8", "none"))
