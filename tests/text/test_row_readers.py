"""Tests of power_bert.text.row_readers: TSV, CSV, JSON lines and `text;label`, chunk by chunk."""

import json
from pathlib import Path
from typing import Any

import pytest

from power_bert.errors import UserError
from power_bert.text.row_readers import RawRows, list_names, read_rows
from power_bert.text.task import ColumnLayout

LAYOUT = ColumnLayout(("text",), "label")
OPTIONAL = ColumnLayout(("text",), "label", label_is_optional=True, index_column="index", index_is_optional=True)
PAIRS = ColumnLayout(("one", "two"), "label")
ROWS = [{"text": "the cat", "label": "yes"}, {"text": "a dog", "label": "no"}, {"text": "", "label": "yes"}]


def write(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_bytes(content.encode())
    return folder / name


def rows_of(path: Path, layout: ColumnLayout = LAYOUT, chunk_rows: int = 100) -> list[tuple[Any, ...]]:
    """(line, texts, target) of each row, whatever the chunks."""
    found: list[tuple[Any, ...]] = []
    for rows in read_rows(path, layout, chunk_rows):
        assert 0 < len(rows.numbers) <= chunk_rows
        targets = rows.targets or [None] * len(rows.numbers)
        found += zip(rows.numbers, *rows.texts, targets, strict=True)
    return found


def as_file(folder: Path, ending: str) -> Path:
    if ending == ".jsonl":
        return write(folder, "rows.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    separator = {".tsv": "\t", ".csv": ","}[ending]
    lines = [separator.join(("label", "text")), *(separator.join((row["label"], row["text"])) for row in ROWS)]
    return write(folder, f"rows{ending}", "\n".join(lines) + "\n")


class TestEveryForm:
    @pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
    @pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
    def test_the_rows_do_not_depend_on_the_chunks(self, ending: str, chunk_rows: int, tmp_path: Path) -> None:
        first = 1 if ending == ".jsonl" else 2
        expected = [(first + number, row["text"], row["label"]) for number, row in enumerate(ROWS)]
        assert rows_of(as_file(tmp_path, ending), LAYOUT, chunk_rows) == expected

    @pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
    def test_an_optional_label_that_is_not_there(self, ending: str, tmp_path: Path) -> None:
        content = {".tsv": "text\nthe cat\n", ".csv": "text\nthe cat\n", ".jsonl": '{"text": "the cat"}\n'}[ending]
        (rows,) = read_rows(write(tmp_path, f"rows{ending}", content), OPTIONAL, 100)
        assert rows.targets is None and rows.indices is None
        assert rows.texts == (["the cat"],)

    @pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
    def test_a_column_that_is_not_there(self, ending: str, tmp_path: Path) -> None:
        path = as_file(tmp_path, ending)
        with pytest.raises(UserError, match=r"line 1: no (column|key) .*'sentence'.*'label', 'text'|'text', 'label'"):
            rows_of(path, ColumnLayout(("sentence",), "label"))

    @pytest.mark.parametrize(("name", "content"), [("a.tsv", "text\tlabel\n"), ("a.csv", "text,label\n")])
    def test_a_header_alone(self, name: str, content: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no rows after the header"):
            rows_of(write(tmp_path, name, content))

    def test_two_texts(self, tmp_path: Path) -> None:
        path = write(tmp_path, "pairs.tsv", "two\tlabel\tone\nsecond\t1\tfirst\n")
        assert rows_of(path, PAIRS) == [(2, "first", "second", "1")]

    def test_where(self) -> None:
        rows = RawRows("dev.csv", [2, 5], (["a", "b"],), None, unit="record")
        assert [rows.where(0), rows.where(1)] == ["dev.csv, record 2", "dev.csv, record 5"]


class TestTsv:
    def test_a_quotation_mark_is_a_character(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", 'text\tlabel\n"the cat\t1\nsaid ""\t0\n')
        assert rows_of(path) == [(2, '"the cat', "1"), (3, 'said ""', "0")]

    def test_by_position_without_a_header(self, tmp_path: Path) -> None:
        layout = ColumnLayout((3,), 1, num_columns=4)
        assert rows_of(write(tmp_path, "a.tsv", "x\t1\t\tthe cat\n"), layout) == [(1, "the cat", "1")]

    @pytest.mark.parametrize(("row", "found"), [("the cat", 1), ("the cat\t1\t2", 3)])
    def test_another_number_of_columns(self, row: str, found: int, tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", f"text\tlabel\na\t0\n{row}\nb\t1\n")
        with pytest.raises(UserError, match=rf"a\.tsv, line 3: expected 2 columns separated by tabs, found {found}\."):
            rows_of(path)

    def test_old_line_ends_are_explained(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="carriage returns: if these are line ends, convert them to LF"):
            rows_of(write(tmp_path, "a.tsv", "text\tlabel\na\t0\rb\t1\n"))

    def test_a_column_twice(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="line 1: more than one column named 'text'"):
            rows_of(write(tmp_path, "a.tsv", "text\ttext\tlabel\na\tb\t0\n"))

    def test_an_index_must_count_from_0(self, tmp_path: Path) -> None:
        good = write(tmp_path, "good.tsv", "index\ttext\n0\ta\n1\tb\n")
        assert rows_of(good, OPTIONAL, 1) == [(2, "a", None), (3, "b", None)]
        bad = write(tmp_path, "bad.tsv", "index\ttext\n0\ta\n7\tb\n")
        with pytest.raises(UserError, match=r"bad\.tsv, line 3: 'index' is '7', expected 1\..*or rename the column"):
            rows_of(bad, OPTIONAL, 1)


class TestCsv:
    def test_quoted_fields(self, tmp_path: Path) -> None:
        content = 'text,label\n"the, cat",1\n"said ""no""",0\n"two\nlines",1\nlast,0\n'
        expected = [(2, "the, cat", "1"), (3, 'said "no"', "0"), (4, "two\nlines", "1"), (6, "last", "0")]
        for chunk_rows in (1, 2, 100):
            assert rows_of(write(tmp_path, "a.csv", content), LAYOUT, chunk_rows) == expected

    def test_an_empty_line_is_an_empty_text_where_there_is_one_column(self, tmp_path: Path) -> None:
        assert rows_of(write(tmp_path, "a.csv", "text\na\n\nb\n"), OPTIONAL) == [
            (2, "a", None),
            (3, "", None),
            (4, "b", None),
        ]

    @pytest.mark.parametrize("row", ['"open,1\n', '"a"b,1\n'])
    def test_bad_quotes_name_the_line(self, row: str, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", f"text,label\ngood,0\n{row}")
        with pytest.raises(UserError, match=r"a\.csv, line 3: (not valid CSV|expected 2 columns)"):
            rows_of(path)

    def test_a_field_longer_than_the_limit_of_the_library(self, tmp_path: Path) -> None:
        long = "a" * 200_000
        assert rows_of(write(tmp_path, "a.csv", f'text,label\n"{long}",1\n')) == [(2, long, "1")]


class TestJsonLines:
    @pytest.mark.parametrize(
        ("value", "expected"), [("1", "1"), (1, "1"), (2.5, "2.5"), (True, "true"), (False, "false")]
    )
    def test_a_label_is_the_string_that_a_tsv_file_would_have(self, value: Any, expected: str, tmp_path: Path) -> None:
        path = write(tmp_path, "a.jsonl", json.dumps({"text": "a", "label": value}) + "\n")
        assert rows_of(path) == [(1, "a", expected)]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("[]", r"line 2: expected a JSON object, found '\[\]'"),
            ("{", "line 2: not valid JSON"),
            ('{"text": "a"}', "line 2: no key 'label'. Expected it in every object; this one has: 'text'"),
            ('{"text": 1, "label": "x"}', "line 2: 'text' is 1. Expected a text."),
            ('{"text": "a", "label": null}', "line 2: 'label' is null. Expected a text or a number."),
            ('{"text": "a", "label": [1]}', r"line 2: 'label' is \[1\]. Expected a text or a number."),
        ],
    )
    def test_a_bad_line(self, line: str, message: str, tmp_path: Path) -> None:
        path = write(tmp_path, "a.jsonl", '{"text": "a", "label": "x"}\n' + line + "\n")
        with pytest.raises(UserError, match=message):
            rows_of(path)

    def test_an_optional_label_may_be_null_but_not_missing_later(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n')
        assert rows_of(path, OPTIONAL) == [(1, "a", "x"), (2, "b", "")]
        path = write(tmp_path, "b.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n')
        with pytest.raises(UserError, match="line 2: no key 'label'"):
            rows_of(path, OPTIONAL)


class TestTextSemicolonLabel:
    def test_a_text_may_hold_semicolons(self, tmp_path: Path) -> None:
        path = write(tmp_path, "train.txt", "i feel fine; really;joy\nso sad;sadness\n")
        layout = ColumnLayout((0,), 1, num_columns=2)
        assert rows_of(path, layout, 1) == [(1, "i feel fine; really", "joy"), (2, "so sad", "sadness")]

    def test_a_line_without_a_label(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="line 2: expected 2 columns text;label, found 1"):
            rows_of(write(tmp_path, "train.txt", "a;joy\nno label\n"), ColumnLayout((0,), 1, num_columns=2))


def test_names_are_quoted_and_cut() -> None:
    assert list_names(["a", " b"]) == "'a', ' b'"
    assert len(list_names(map(str, range(1000)))) <= 200
