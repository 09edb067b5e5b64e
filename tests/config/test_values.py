"""Structured values of settings: text → value → text, and what is no value."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutation_settings
from power_bert.config.values import (
    SINGLE,
    LayerMap,
    Schedule,
    SparsityBlock,
    parse_assignments,
    parse_block_numbers,
    parse_list,
    parse_names,
    parse_numbers,
)
from power_bert.errors import UserError

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCHEDULES = st.builds(Schedule.constant, FINITE) | st.builds(
    Schedule, st.sampled_from(("linear", "cosine")), FINITE, FINITE
)
BLOCKS = st.builds(SparsityBlock, st.integers(1, 10**6), st.integers(1, 10**6))
PAIRS = st.tuples(st.integers(0, 99), st.integers(0, 99))
LAYER_MAPS = st.lists(PAIRS, min_size=1, max_size=12).map(LayerMap)


class TestRoundTrip:
    """The text of a value is stored in config.json, so it must give the same value again."""

    @mutation_settings
    @given(SCHEDULES)
    def test_schedules(self, schedule: Schedule) -> None:
        assert Schedule.parse(str(schedule)) == Schedule.parse(schedule) == schedule
        assert schedule.smallest <= schedule.start <= schedule.largest
        assert {schedule.smallest, schedule.largest} == {schedule.start, schedule.end}

    @mutation_settings
    @given(BLOCKS)
    def test_blocks(self, block: SparsityBlock) -> None:
        assert SparsityBlock.parse(str(block)) == SparsityBlock.parse(block) == block

    @mutation_settings
    @given(LAYER_MAPS)
    def test_layer_maps(self, layer_map: LayerMap) -> None:
        assert LayerMap.parse(str(layer_map)) == LayerMap.parse(layer_map) == layer_map

    @pytest.mark.parametrize(
        ("parse", "text"),
        [
            *((Schedule.parse, text) for text in ("0.5", "2", "1e-05", "linear:4:1", "cosine:1:0.25")),
            *((SparsityBlock.parse, text) for text in ("1x1", "1x16")),
            *((LayerMap.parse, text) for text in ("1:3", "0:0,1:3,2:6")),
        ],
    )
    def test_short_texts_are_kept_as_they_are(self, parse: Callable[[str], Any], text: str) -> None:
        assert str(parse(text)) == text


def test_other_spellings_of_a_value() -> None:
    assert Schedule.parse("2.0") == Schedule.parse(2) == Schedule.parse("constant:2") == Schedule.constant(2.0)
    assert Schedule.parse("linear: 4 : 1") == Schedule("linear", 4.0, 1.0)
    assert LayerMap.parse(" 1:3 , 2:6 ") == LayerMap([(1, 3), (2, 6)])
    assert SparsityBlock.parse("1x1") == SINGLE


@pytest.mark.parametrize(
    "text",
    ["", "x", "linear", "linear:1", "linear:1:2:3", "constant:1:2", "square:1:2", "linear:a:1", "nan", "linear:0:inf"],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a number, or a schedule such as linear:4:1 or cosine:1:0$"):
        Schedule.parse(text)


@pytest.mark.parametrize("text", ["", "16", "0x16", "1x0", "1x-1", "1x2x3", "1.5x2", "axb", " 1x16", "1X16"])
def test_what_is_no_block(text: str) -> None:
    with pytest.raises(ValueError, match="expected rows x columns of a block, such as 1x16; 1x1 for single values"):
        SparsityBlock.parse(text)


@pytest.mark.parametrize(
    ("text", "part"), [("", "''"), ("1", "'1'"), ("1:2,", "''"), ("1:2,3:x", "'3:x'"), ("-1:2", "'-1:2'")]
)
def test_what_is_no_layer_map(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=f"^{part} is not a pair of a student's and a teacher's block"):
        LayerMap.parse(text)


class TestLists:
    @mutation_settings
    @given(st.lists(st.floats(min_value=1e-300, max_value=1e300), max_size=9))
    def test_numbers(self, numbers: list[float]) -> None:
        assert parse_numbers(",".join(map(str, numbers))) == tuple(numbers)

    @pytest.mark.parametrize("text", ["0", "1,-2", "inf", "nan", "1,x", "1;2"])
    def test_weights_are_positive_numbers(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"expected positive numbers with commas, as in 0\.7,0\.3"):
            parse_numbers(text)

    def test_numbers_of_blocks(self) -> None:
        assert parse_block_numbers("2, 4,6") == (2, 4, 6)
        for text in ("2,", "2,x", "-1", "1.0"):
            with pytest.raises(ValueError, match="expected numbers of blocks, as in 2,4,6"):
                parse_block_numbers(text)

    def test_names(self) -> None:
        assert parse_names(" mask, ngram ,,") == ("mask", "ngram")
        assert parse_names(" , ") == ()

    @pytest.mark.parametrize("parse", [parse_numbers, parse_block_numbers, parse_names])
    def test_what_is_no_text_is_left_for_the_check_of_types(self, parse: Callable[[Any], Any]) -> None:
        given_value = (1, 2)
        assert parse(given_value) is given_value

    def test_numbers_of_an_option(self) -> None:
        assert parse_list("--seeds", "0, 12,-3", int) == [0, 12, -3]
        assert parse_list("--targets", "1.5,2", float) == [1.5, 2.0]
        with pytest.raises(UserError, match=r"^--seeds 0,1\.5: expected whole numbers separated by commas, such as"):
            parse_list("--seeds", "0,1.5", int)
        with pytest.raises(UserError, match=r"^--seeds 9{199}…: expected whole numbers"):
            parse_list("--seeds", "9" * 300 + ",x", int)


PLAIN = st.none() | st.booleans() | st.integers() | FINITE | st.text("abc_", max_size=5)
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner), max_leaves=6
)


class TestAssignments:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            *(("units=150", 150), ("units = 150 ", 150), ("units=-0.5", -0.5), ("units=1e-3", 0.001)),
            *(("units=true", True), ("units=False", False), ("units=None", None)),
            *(("units=cosine", "cosine"), ("units='150'", "150"), ("units=a=b", "a=b"), ("units=", "")),
            *(("units=[3, 4]", (3, 4)), ("units=(3, 4)", (3, 4)), ("units=3,4", (3, 4))),
        ],
    )
    def test_values(self, text: str, expected: object) -> None:
        value = parse_assignments((text,))["units"]
        assert value == expected and type(value) is type(expected)

    def test_the_last_assignment_of_a_name_counts(self) -> None:
        assert parse_assignments(("a=1", "b=2", "a=3")) == {"a": 3, "b": 2}

    def test_what_is_no_assignment(self) -> None:
        with pytest.raises(ValueError, match="expected NAME=VALUE, as in units=150"):
            parse_assignments(("a=1", "units"))

    @mutation_settings
    @given(NESTED)
    def test_a_value_is_the_same_after_config_json(self, value: object) -> None:
        """Otherwise the run could not be resumed: it would seem to have other settings."""
        parsed = parse_assignments((f"a={value!r}",))
        assert parse_assignments(json.loads(json.dumps(parsed))) == parsed

    @pytest.mark.parametrize(
        "text",
        ["a=((3, 4), 5)", "a={1: 2}", "a={1, 2}", "a=1e999", "a=b'x'", "a=2j", f"a={'-' * 9000}1", "a=" + "[" * 9000],
    )
    def test_what_json_has_not_is_stored_as_it_will_be_read(self, text: str) -> None:
        parsed = parse_assignments((text,))
        assert parse_assignments(json.loads(json.dumps(parsed, allow_nan=False))) == parsed
