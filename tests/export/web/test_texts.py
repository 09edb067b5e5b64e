"""Tests of the page's reader of texts that are pasted or opened from a file."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(run_module: Callable[..., str]) -> Read:
    """What the page reads out of a text, and which columns it takes for texts."""

    def read(text: str, has_header: bool | None = None, count: int = 1) -> dict[str, Any]:
        plan = {"text": text, "hasHeader": has_header, "count": count}
        return json.loads(run_module("read_texts.mjs", json.dumps(plan)))

    return read


@pytest.mark.parametrize(
    "text",
    [
        'id,text,label\r\n1,"A good, ""odd"" film.",good\r\n2,"Two\nlines of text.",bad\r\n',
        'id\ttext\tlabel\n1\t"A good, ""odd"" film."\tgood\n2\t"Two\nlines of text."\tbad',
        'id;text;label\n1;"A good, ""odd"" film.";good\n\n2;"Two\nlines of text.";bad\n',
    ],
    ids=["commas", "tabs", "semicolons"],
)
def test_a_table(read: Read, text: str) -> None:
    table = read(text)
    assert table["columns"] == ["id", "text", "label"] and table["hasHeader"]
    assert table["rows"] == [["1", 'A good, "odd" film.', "good"], ["2", "Two\nlines of text.", "bad"]]
    assert table["guessed"] == [1]


def test_lines_are_texts_whatever_is_in_them(read: Read) -> None:
    lines = ["Hello, world", "Good, bad", '"No", she said', "a; b"]
    assert read("\n".join(lines))["rows"] == [[line] for line in lines]
    assert read("Hello, world\n\nGood bye, world\n")["rows"] == [["Hello, world"], ["Good bye, world"]]
    assert read("")["rows"] == []


def test_one_column_with_its_name(read: Read) -> None:
    table = read('text\n"One, two,\nthree."\nFour.\n')
    assert table["columns"] == ["text"] and table["rows"] == [["One, two,\nthree."], ["Four."]]
    assert read("Text\n", has_header=False)["rows"] == [["Text"]]


def test_pairs(read: Read) -> None:
    pairs = [["The cat sat.", "the"], ["cats", "sat un sat"]]
    table = read("\n".join("\t".join(pair) for pair in pairs), count=2)
    assert table["rows"] == pairs and not table["hasHeader"] and table["guessed"] == [0, 1]
    mrpc = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\tHe said it.\tIt was said by him.\n"
    assert read(mrpc, count=2)["guessed"] == [3, 4]


def test_a_user_overrules_the_guess(read: Read) -> None:
    text = "name\tcomment\none\tA long comment.\n"
    assert read(text)["columns"] == ["name", "comment"]
    assert read(text, has_header=False)["rows"] == [["name", "comment"], ["one", "A long comment."]]
