"""Tests of power_bert.text.raw_texts."""

import io
import os
import threading
from collections.abc import Iterable

import pytest

from power_bert.errors import UserError
from power_bert.text.raw_texts import stream_raw_examples


class Pieces:
    """A pipe whose writer wrote in these pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read1(self, size: int, /) -> bytes:
        return next(self._pieces, b"")


def read(data: bytes, is_pair: bool | None = False) -> tuple[list[str], list[str] | None]:
    chunks = list(stream_raw_examples(io.BytesIO(data), "input.txt", is_pair))
    first = [text for chunk in chunks for text in chunk.first]
    if any(chunk.second is not None for chunk in chunks):
        return first, [text for chunk in chunks for text in chunk.second or ()]
    return first, None


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"\n\none\n\n", ["", "", "one", ""]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        ("naïve\u2028line\u0085\n".encode(), ["naïve\u2028line\u0085"]),
        (b'"quoted"\n', ['"quoted"']),
        (b"", []),
        (b"x" * 5_000_000 + b"\nend", ["x" * 5_000_000, "end"]),
    ],
)
def test_every_line_is_an_example(data: bytes, texts: list[str]) -> None:
    assert read(data) == (texts, None)


def test_pairs() -> None:
    assert read(b"one\ttwo\n\t\nthree\t\n", is_pair=True) == (["one", "", "three"], ["two", "", ""])


@pytest.mark.parametrize(("data", "is_pair"), [(b"one\ttwo\na\tb\n", True), (b"one\ntwo\n", False)])
def test_the_first_line_decides_where_nobody_says(data: bytes, is_pair: bool) -> None:
    assert (read(data, is_pair=None)[1] is not None) == is_pair


@pytest.mark.parametrize(
    ("data", "is_pair", "message"),
    [
        (b"one\na\tb\n", False, "input.txt, line 2: 1 tabs. Expected one text without a tab on every line"),
        (b"a\tb\none\n", True, "input.txt, line 2: 0 tabs. Expected two texts separated by one tab"),
        (b"a\tb\tc\n", True, "input.txt, line 1: 2 tabs"),
        (b"a\tb\none\n", None, "input.txt, line 2: 0 tabs"),
        (b"one\ncaf\xe9\n", False, "input.txt, line 2: byte 0xe9 is not UTF-8"),
        (b"one\rtwo\rthree\r", False, "input.txt, line 1: holds carriage returns"),
        ("one\n".encode("utf-16"), False, "input.txt: begins with the byte order mark of UTF-16"),
    ],
)
def test_bad_lines_are_named(data: bytes, is_pair: bool | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(data, is_pair)


def test_lines_that_come_in_pieces() -> None:
    pieces = Pieces([b"on", b"e\ntw", b"o", b"\n", "na\u00ef".encode()[:3], "\u00efve".encode()[1:], b"\nend"])
    chunks = [chunk.first for chunk in stream_raw_examples(pieces, "pipe", False)]
    assert chunks == [["one"], ["two"], ["na\u00efve"], ["end"]]


def test_a_pipe_is_answered_before_it_ends() -> None:
    reading, writing = os.pipe()
    answered = threading.Event()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            file.write(b"first\n")
            assert answered.wait(timeout=60)
            file.write(b"second\n")

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as file:
        chunks = stream_raw_examples(file, "pipe", False)
        assert next(chunks).first == ["first"]
        answered.set()
        assert [chunk.first for chunk in chunks] == [["second"]]
    writer.join()
