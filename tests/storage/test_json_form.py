"""Tests of power_bert.storage.json_form: what is said of a JSON file that is not of its form."""

from pathlib import Path
from typing import Any

import pytest

from power_bert.errors import UserError
from power_bert.storage.json_form import NUMBER, Each, Maybe, check_form

FORM = {
    "name": str,
    "scores": Each(NUMBER),
    "history": [{"loss": float, "epoch": int}],
    "note": Maybe((str, type(None))),
}
GOOD: dict[str, Any] = {"name": "a", "scores": {"f1": 0.5, "n": 3}, "history": [{"loss": 0.5, "epoch": 1}]}


def check(value: Any, form: Any = FORM) -> None:
    check_form(value, form, Path("run/metrics.json"), "restore it")


@pytest.mark.parametrize(
    "changes", [{}, {"note": None}, {"note": "x"}, {"history": []}, {"scores": {}}, {"unknown": object}]
)
def test_good_values(changes: dict[str, Any]) -> None:
    check({**GOOD, **changes})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"the file is \[\], expected an object"),
        ({"scores": {}, "history": []}, "name is missing"),
        ({**GOOD, "name": 3}, "name is 3, expected a text"),
        ({**GOOD, "name": None}, "name is None, expected a text"),
        ({**GOOD, "scores": {"f1": "high"}}, r"scores\.f1 is 'high', expected a whole number or a number"),
        ({**GOOD, "scores": {"f1": True}}, r"scores\.f1 is True, expected a whole number or a number"),
        ({**GOOD, "scores": {"f1": float("nan")}}, r"scores\.f1 is nan"),
        ({**GOOD, "scores": {"f1": float("inf")}}, r"scores\.f1 is inf"),
        ({**GOOD, "scores": {"f1": 10**400}}, r"scores\.f1 is 10000"),
        ({**GOOD, "scores": [1]}, r"scores is \[1\], expected an object"),
        ({**GOOD, "history": {}}, r"history is {}, expected a list"),
        ({**GOOD, "history": [{"loss": 0.1, "epoch": 1}, {"loss": 0.1}]}, r"history\[1\]\.epoch is missing"),
        ({**GOOD, "history": [{"loss": 0.1, "epoch": 1.0}]}, r"history\[0\]\.epoch is 1\.0, expected a whole number"),
        ({**GOOD, "history": [{"loss": 0.1, "epoch": True}]}, r"history\[0\]\.epoch is True, expected a whole number"),
        ({**GOOD, "note": 1}, "note is 1, expected a text or null"),
    ],
)
def test_bad_values_are_named_by_their_place(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"run/metrics\.json: damaged: {message}.*; restore it$"):
        check(value)


def test_truth_values_are_not_numbers_and_numbers_no_truth_values() -> None:
    check(True, bool)
    check([True, False], [bool])
    for value, form in ((1, bool), (True, int), (0, bool), (False, float)):
        with pytest.raises(UserError, match="the file is"):
            check(value, form)


def test_a_large_value_is_cut_in_the_message() -> None:
    with pytest.raises(UserError) as error:
        check({**GOOD, "name": ["x" * 10_000]})
    assert len(str(error.value)) < 200
    with pytest.raises(UserError) as error:
        check({**GOOD, "scores": {"k" * 10_000: "x"}})
    assert len(str(error.value)) < 250
