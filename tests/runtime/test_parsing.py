"""Data from outside: every failure names its source."""

import errno

import pytest

from power_bert_runtime.errors import UserError, shorten
from power_bert_runtime.parsing import parse_json, parsing


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "a number of thousands of digits"),
        (r'{"a": ["\ud83d"]}', r"unpaired surrogate \ud83d"),
        (b'"\xff"', "byte 0xff is not UTF-8"),
        ('{"a": }', "Expecting value"),
    ],
)
def test_json_that_cannot_be_used_is_named(data: str | bytes, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_json(data, "rows.jsonl", line=65, advice="Mend it")
    assert str(caught.value) == f"rows.jsonl, line 65: not valid JSON ({reason}). Mend it"


def test_line_of_a_whole_file_is_computed() -> None:
    with pytest.raises(UserError, match=r"^config.json, line 2: not valid JSON"):
        parse_json('{\n"a" 1}', "config.json")


def test_pairs_of_surrogates_and_byte_order_marks_are_read() -> None:
    assert parse_json(b'\xef\xbb\xbf"\\ud83d\\ude00"', "x") == "\U0001f600"


def test_any_failure_of_a_parser_becomes_a_user_error() -> None:
    with pytest.raises(UserError) as caught, parsing("weights.bin", "a list of weights", "Copy it again."):
        raise KeyError("x" * 1000)
    assert str(caught.value).startswith("weights.bin: damaged, or not a list of weights (KeyError: 'xxx")
    assert str(caught.value).endswith("…). Copy it again.") and len(str(caught.value)) < 300


def test_errors_of_the_system_and_of_the_user_pass() -> None:
    with pytest.raises(OSError, match="disk"), parsing("a", "b"):
        raise OSError(errno.EIO, "disk")
    with pytest.raises(UserError, match=r"^mine$"), parsing("a", "b"):
        raise UserError("mine")


def test_errors_about_data_that_look_like_those_of_the_system() -> None:
    """h5py has no number for a damaged file; an archive can name a place that is not in the file."""
    for error in (OSError("truncated file"), OSError(errno.EINVAL, "Invalid argument")):
        with pytest.raises(UserError, match=r"^a: damaged, or not b \(OSError: "), parsing("a", "b"):
            raise error


def test_quoted_data_are_short_and_printable() -> None:
    assert shorten("a\nb\x00") == "a\\nb\\x00"
    assert shorten("ä" * 300) == "ä" * 199 + "…"
