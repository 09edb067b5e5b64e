"""The retention configuration: its rules, its text form, its way from masses, and what it leaves of an example."""

import dataclasses
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from keras import ops

from power_bert.elimination.retention import CLS_ALONE, FRACTION, TOKENS, UNITS, Retention
from power_bert.elimination.retention_choice import resolve_retention_text
from power_bert.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64,60,48", (64, 60, 48)),
        (" 64 , 64,1 ", (64, 64, 1)),
        ("1.0,0.8,0.05", (1.0, 0.8, 0.05)),
        ("1,0.5,.25", (1.0, 0.5, 0.25)),
    ],
)
def test_parse(text: str, expected: tuple[int | float, ...]) -> None:
    parsed = Retention.parse(text).checked(3, 64)
    assert parsed.values == expected
    assert [type(value) for value in parsed.values] == [type(value) for value in expected]
    assert Retention.parse(str(parsed)).checked(3, 64) == parsed


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        ((64, 60, 1), "64,60,1", "64,60,[CLS]"),
        ((64, 1, 1), "64,1,1", "64,[CLS],[CLS]"),
        ((1.0, 0.8, 0.05), "1.0,0.8,0.05", "1.0,0.8,0.05"),
        ((0.1235, 0.1, 0.0001), "0.1235,0.1,0.0001", "0.1235,0.1,[CLS]"),
    ],
)
def test_format(values: tuple[int | float, ...], text: str, shown: str) -> None:
    retention = Retention.of(values)
    assert (str(retention), retention.shown()) == (text, shown)
    assert resolve_retention_text(shown) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64,60", "has 2 values, but the model has 3 encoder blocks"),
        ("64,60,48,20", "has 4 values"),
        ("64,48,60", r"block 3 keeps 60, more than the block before it \(48\)"),
        ("1.0,0.4,0.5", r"block 3 keeps 0.5, more than the block before it \(0.4\)"),
        ("64,60,0", "block 3 has 0, expected a number of tokens from 1 to 64"),
        ("64,60,-2", "block 3 has -2"),
        ("65,60,48", "block 1 has 65, expected a number of tokens from 1 to 64"),
        ("1.1,0.5,0.2", r"block 1 has 1.1, expected a fraction in \(0, 1\]"),
        ("1.0,0.5,0.0", "block 3 has 0.0, expected a fraction"),
        ("64,60,0.5", "block 1 has 64.0, expected a fraction"),
        ("64,sixty,48", "not a list of numbers: expected something like"),
        ("64,,48", "not a list of numbers"),
        ("", "not a list of numbers"),
        ("1.0,0.5,x.y", "not a list of numbers"),
    ],
)
def test_errors_say_which_rule_is_broken(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Retention.parse(text).checked(3, 64)


def test_check_refuses_what_is_not_a_number() -> None:
    with pytest.raises(UserError, match="block 2 has nan"):
        Retention.of([1.0, math.nan]).checked(2, 64)


def test_check_makes_plain_python_numbers() -> None:
    checked = Retention.of([np.int64(5), np.int64(3)]).checked(2, 64)  # type: ignore[list-item]
    assert checked.values == (5, 3) and {type(value) for value in checked.values} == {int}
    assert Retention.of([1.0, 1]).checked(2, 64).values == (1.0, 1.0)


def test_unit_of_a_stored_list_is_told_by_type() -> None:
    assert Retention.of((1.0, 0.5)).unit == FRACTION and Retention.of((1, 1)).unit == TOKENS


@pytest.mark.parametrize("values", [[64, 60, 1], [1.0, 0.8, 0.05], [1.0, 1.0], []])
def test_json_round_trip(values: list[int] | list[float]) -> None:
    retention = Retention.of(values)
    assert retention.to_json() == values
    assert Retention.of(json.loads(json.dumps(retention.to_json()))) == retention
    assert Retention.of(retention) is retention


def test_is_a_frozen_value() -> None:
    assert Retention.of([3, 1]) == Retention(TOKENS, (3, 1)) != Retention(FRACTION, (3.0, 1.0))
    assert len({Retention.parse("3,1"), Retention.of((3, 1))}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Retention.of([3, 1]).unit = FRACTION  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "words", "expected"),
    [(5, 7, 5), (5, 3, 3), (1, 9, 1), (1.0, 7, 7), (0.5, 7, 4), (0.5, 8, 4), (0.1, 30, 3), (0.01, 7, 1), (0.3, 10, 3)],
)
def test_kept_words(value: int | float, words: int, expected: int) -> None:
    assert Retention.of([value]).left_after(0, words) == expected


@pytest.mark.parametrize(
    ("masses", "unit", "expected"),
    [
        ([6.2, 4.0, 1.3], "tokens", (7, 4, 2)),
        ([4.0, 6.2, 3.5], "tokens", (4, 4, 4)),  # what block 1 eliminates is gone in block 2
        ([12.0, 3.00001, 0.0], "tokens", (8, 3, 1)),  # clipped to [1, 8]; rounding noise is no word
        ([8.0, 4.0, 1.0], "fraction", (1.0, 0.5, 0.0001)),
        ([4.0, 6.2, 0.0], "fraction", (0.5, 0.5, 0.0001)),
        ([7.99, 5.0, 2.6667], "fraction", (0.9988, 0.625, 0.3333)),
    ],
)
def test_from_masses(masses: list[float], unit: str, expected: Any) -> None:
    retention = Retention.from_masses(masses, 8, unit)
    assert retention.values == pytest.approx(expected, abs=1e-9)
    assert retention.unit == unit
    assert Retention.of(retention.values).checked(3, 8) == retention
    assert Retention.parse(str(retention)).checked(3, 8) == retention


@pytest.mark.parametrize("unit", ["tokens", "fraction"])
@pytest.mark.parametrize("length", [1, 7, 64, 128, 512])
def test_whole_masses_keep_as_many_words(unit: str, length: int) -> None:
    masses = list(range(length, 0, -1))
    retention = Retention.from_masses(masses, length, unit)
    assert [retention.left_after(block, length) for block in range(length)] == masses


@pytest.mark.parametrize("unit", ["tokens", "fraction"])
def test_masses_are_rounded_up_but_for_noise(unit: str) -> None:
    masses = np.sort(np.random.default_rng(0).uniform(1, 64, 50))[::-1]
    retention = Retention.from_masses(masses.tolist(), 64, unit)
    kept = [retention.left_after(block, 64) for block in range(50)]
    assert all(-0.04 < words - mass < 1 for mass, words in zip(masses, kept, strict=True))


class TestLeftAfter:
    RETENTIONS = (Retention.of((9, 4, 1)), Retention.of((1.0, 0.43, 0.0001)))

    @pytest.mark.parametrize("retention", RETENTIONS, ids=str)
    @pytest.mark.parametrize("block", [0, 1, 2])
    def test_integers_arrays_and_tensors_agree(self, retention: Retention, block: int) -> None:
        lengths = np.arange(1, 513, dtype="int32").reshape(2, 256)
        expected = [[retention.left_after(block, int(length)) for length in row] for row in lengths]
        assert {type(left) for row in expected for left in row} == {int}
        assert retention.left_after(block, lengths).tolist() == expected
        left = retention.left_after(block, ops.convert_to_tensor(lengths), ops)
        assert ops.convert_to_numpy(left).tolist() == expected

    @pytest.mark.parametrize("retention", RETENTIONS, ids=str)
    def test_never_more_than_before_and_never_less_than_cls(self, retention: Retention) -> None:
        lengths = np.arange(1, 40)
        left = [lengths, *(retention.left_after(block, lengths) for block in range(3))]
        assert all((now <= before).all() for before, now in itertools.pairwise(left))
        assert (left[-1] == 1).all()

    def test_what_is_eliminated_does_not_come_back(self) -> None:
        assert [Retention.of((2, 6)).left_after(block, 8) for block in range(2)] == [2, 2]

    def test_cls_alone(self) -> None:
        fractions, tokens = Retention.of((0.5, CLS_ALONE, 0.9)), Retention.of((2, 1))
        assert [fractions.keeps_cls_alone(block) for block in range(3)] == [False, True, True]
        assert [tokens.keeps_cls_alone(block) for block in range(2)] == [False, True]
        assert fractions.left_after(1, np.array([1, 64, 10_000])).tolist() == [1, 1, 1]

    def test_fuses_where_tokens_are_dropped_and_more_than_cls_is_kept(self) -> None:
        assert [Retention.of((1.0, 0.5, CLS_ALONE)).fuses(block) for block in range(3)] == [False, True, False]
        assert [Retention.of((9, 1)).fuses(block) for block in range(2)] == [True, False]
        assert Retention.of((1.0, 0.5, CLS_ALONE)).shown(fuse_dropped=True) == "1.0,0.5,[CLS], dropped tokens fused"
        for values in ((1.0, 1.0, 1.0), (1.0, 1.0, 0.2), (CLS_ALONE,) * 3):
            assert "fused" not in Retention.of(values).shown(fuse_dropped=True)

    def test_only_the_fraction_1_keeps_all(self) -> None:
        fractions, tokens = Retention.of((1.0, 0.9999)), Retention.of((512, 1))
        assert [fractions.keeps_all(0), fractions.keeps_all(1)] == [True, False]
        assert not tokens.keeps_all(0) and not tokens.keeps_all(1)


@pytest.mark.parametrize("unit", UNITS)
def test_masses_of_all_ones_keep_everything(unit: str) -> None:
    assert Retention.from_masses([64.0, 64.0], 64, unit).left_after(1, 64) == 64
