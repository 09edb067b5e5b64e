"""Texts from elsewhere: those of the project and those of the user."""

from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.export.check_texts import own_check_texts, read_check_texts


def test_own_single_texts() -> None:
    texts = own_check_texts(is_pair=False)
    assert len(texts) == 326 and texts.second is None and texts.labels is None
    # A few start several pairs, as in real data.
    assert len(set(texts.first)) > 310
    assert all(text.strip() == text and text for text in texts.first)


def test_own_texts_vary() -> None:
    """Lengths from one word to a paragraph, questions, numbers, names and other scripts."""
    texts = own_check_texts(is_pair=False).first
    words = sorted(len(text.split()) for text in texts)
    assert words[0] == 1 and words[len(words) // 2] in range(6, 12) and words[-1] > 60
    assert sum(text.endswith("?") for text in texts) > 15
    assert sum(any(char.isdigit() for char in text) for text in texts) > 20
    assert sum(not text.isascii() for text in texts) > 6


def test_own_pairs_are_as_written_and_shifted() -> None:
    pairs = own_check_texts(is_pair=True)
    assert pairs.second is not None and len(pairs.first) == len(pairs.second) == 326
    half = len(pairs) // 2
    assert pairs.first[:half] == pairs.first[half:]
    assert pairs.second[half:] == [*pairs.second[1:half], pairs.second[0]]
    assert (pairs.first[0], pairs.second[0]) == (
        "Where did you leave the spare key?",
        "It hangs on the hook behind the pantry door.",
    )


def test_texts_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "single.txt").write_text("\ufeffone text\r\n\r\nanother\n\n", encoding="utf-8")
    assert read_check_texts(tmp_path / "single.txt", is_pair=False).first == ["one text", "another"]
    (tmp_path / "pairs.txt").write_text("one\ttwo\n\t\nthree\t\n", encoding="utf-8")
    pairs = read_check_texts(tmp_path / "pairs.txt", is_pair=True)
    assert (pairs.first, pairs.second) == (["one", "three"], ["two", ""])


@pytest.mark.parametrize(
    ("content", "is_pair", "complaint"),
    [
        (b"\n \n", False, "there is no text in it"),
        (b"one\ntwo\tthree\n", False, "line 2: 1 tabs"),
        (b"one\n", True, "line 1: 0 tabs"),
        (b"one\n\xff\n", False, "line 2: byte 0xff is not UTF-8"),
    ],
)
def test_texts_that_do_not_fit_are_refused(tmp_path: Path, content: bytes, is_pair: bool, complaint: str) -> None:
    (tmp_path / "texts.txt").write_bytes(content)
    with pytest.raises(UserError, match=complaint) as error:
        read_check_texts(tmp_path / "texts.txt", is_pair)
    assert str(error.value).startswith("--check-texts ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.txt: cannot be read"):
        read_check_texts(tmp_path / "none.txt", is_pair=False)
