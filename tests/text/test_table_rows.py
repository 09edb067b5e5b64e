"""Rows of tables with all their columns."""

from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.text.table_rows import is_table_file, read_table


def test_the_three_kinds_of_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,"x\ny"\n2,\n')
    (tmp_path / "a.tsv").write_text('a\tb\n1\t"x\n2\t\n')
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": "x"}\n{"a": [2]}\n')
    (chunk,) = read_table(tmp_path / "a.csv")
    assert (list(chunk.numbers), chunk.rows) == ([2, 4], [{"a": "1", "b": "x\ny"}, {"a": "2", "b": ""}])
    assert [chunk.rows for chunk in read_table(tmp_path / "a.tsv", 2)] == [
        [{"a": "1", "b": '"x'}],
        [{"a": "2", "b": ""}],
    ]
    first, second = read_table(tmp_path / "a.jsonl", 1)
    assert (first.rows, second.rows, list(second.numbers)) == ([{"a": 1, "b": "x"}], [{"a": [2]}], [2])


def test_semicolons_where_the_header_has_no_comma(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a;b\n1,5;"x;y"\n')
    assert [chunk.rows for chunk in read_table(tmp_path / "a.csv")] == [[{"a": "1,5", "b": "x;y"}]]
    (tmp_path / "a.csv").write_text("a;b\n1\n")
    with pytest.raises(UserError, match="line 2: expected 2 columns separated by semicolons, found 1"):
        list(read_table(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b,a\n1,2,3\n", r"line 1: two columns have the same name\. Rename one of 'a', 'b', 'a'"),
        (b"a,b\n", r"no rows after the header"),
        (b"", r"the file is empty"),
        ("a,b\n1,2\n".encode("utf-16"), r"begins with the byte order mark of UTF-16.*save it as UTF-8"),
        (b"a,b\n1\n", r"line 2: expected 2 columns separated by commas, found 1"),
    ],
)
def test_bad_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_table(tmp_path / "a.csv"))


def test_what_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert [is_table_file(tmp_path / name) for name in ("a.csv", "a.tsv", "a.jsonl", "a.txt", "folder.csv", "b")] == [
        *(True, True, True),
        *(False, False, False),
    ]
