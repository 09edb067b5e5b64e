"""The retention configuration: its rules, its text form, and its way from masses."""

import math
from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.model.retention import (
    check_retention,
    format_retention,
    is_fraction,
    kept_words,
    parse_retention,
    retention_from_masses,
)


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
    parsed = parse_retention(text, 3, 64)
    assert parsed == expected
    assert [type(value) for value in parsed] == [type(value) for value in expected]
    assert parse_retention(format_retention(parsed), 3, 64) == parsed


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((64, 60, 1), "64,60,1"),
        ((1.0, 0.8, 0.05), "1.0,0.8,0.05"),
        ((0.1235, 0.1, 0.0001), "0.1235,0.1,0.0001"),
    ],
)
def test_format(values: tuple[int | float, ...], text: str) -> None:
    assert format_retention(values) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64,60", "has 2 values, but the model has 3 encoder blocks"),
        ("64,60,48,20", "has 4 values"),
        ("64,48,60", r"block 3 keeps 60, more than the block before it \(48\)"),
        ("1.0,0.4,0.5", r"block 3 keeps 0.5, more than the block before it \(0.4\)"),
        ("64,60,0", "block 3 has 0, expected a number of word-vectors from 1 to 64"),
        ("64,60,-2", "block 3 has -2"),
        ("65,60,48", "block 1 has 65, expected a number of word-vectors from 1 to 64"),
        ("1.1,0.5,0.2", r"block 1 has 1.1, expected a share in \(0, 1\]"),
        ("1.0,0.5,0.0", "block 3 has 0.0, expected a share"),
        ("64,60,0.5", "block 1 has 64.0, expected a share"),
        ("64,sixty,48", "not a list of numbers: expected something like"),
        ("64,,48", "not a list of numbers"),
        ("", "not a list of numbers"),
        ("1.0,0.5,x.y", "not a list of numbers"),
    ],
)
def test_errors_say_which_rule_is_broken(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_retention(text, 3, 64)


def test_check_refuses_what_is_not_a_number() -> None:
    with pytest.raises(UserError, match="block 2 has nan"):
        check_retention([1.0, math.nan], 2, 64)


def test_check_makes_plain_python_numbers() -> None:
    checked = check_retention([np.int64(5), np.int64(3)], 2, 64)  # type: ignore[list-item]
    assert checked == (5, 3) and {type(value) for value in checked} == {int}
    assert check_retention([1.0, 1], 2, 64) == (1.0, 1.0)


def test_unit_is_told_by_type() -> None:
    assert is_fraction((1.0, 0.5)) and not is_fraction((1, 1))


@pytest.mark.parametrize(
    ("value", "words", "expected"),
    [(5, 7, 5), (5, 3, 3), (1, 9, 1), (1.0, 7, 7), (0.5, 7, 4), (0.5, 8, 4), (0.1, 30, 3), (0.01, 7, 1), (0.3, 10, 3)],
)
def test_kept_words(value: int | float, words: int, expected: int) -> None:
    assert kept_words(value, words) == expected


@pytest.mark.parametrize(
    ("masses", "unit", "expected"),
    [
        ([6.2, 4.0, 1.3], "tokens", (7, 4, 2)),
        ([4.0, 6.2, 3.5], "tokens", (4, 4, 4)),  # what block 1 eliminates is gone in block 2
        ([12.0, 3.00001, 0.0], "tokens", (8, 3, 1)),  # clipped to [1, 8]; rounding noise is no word
        ([8.0, 4.0, 1.0], "fraction", (1.0, 0.5, 0.125)),
        ([4.0, 6.2, 0.0], "fraction", (0.5, 0.5, 0.125)),
        ([7.99, 5.0, 2.6667], "fraction", (0.9988, 0.625, 0.3333)),
    ],
)
def test_from_masses(masses: list[float], unit: str, expected: Any) -> None:
    retention = retention_from_masses(masses, 8, unit)
    assert retention == pytest.approx(expected, abs=1e-9)
    assert is_fraction(retention) == (unit == "fraction")
    assert check_retention(retention, 3, 8) == retention
    assert parse_retention(format_retention(retention), 3, 8) == retention


@pytest.mark.parametrize("unit", ["tokens", "fraction"])
@pytest.mark.parametrize("length", [1, 7, 64, 128, 512])
def test_whole_masses_keep_as_many_words(unit: str, length: int) -> None:
    masses = list(range(length, 0, -1))
    retention = retention_from_masses(masses, length, unit)
    assert [kept_words(value, length) for value in retention] == masses


@pytest.mark.parametrize("unit", ["tokens", "fraction"])
def test_masses_are_rounded_up_but_for_noise(unit: str) -> None:
    masses = np.sort(np.random.default_rng(0).uniform(1, 64, 50))[::-1]
    retention = retention_from_masses(masses.tolist(), 64, unit)
    kept = [kept_words(value, 64) for value in retention]
    assert all(-0.04 < words - mass < 1 for mass, words in zip(masses, kept, strict=True))
