"""Tests of power_bert.text.text_files."""

from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Task
from power_bert.text.text_files import find_text_columns, stream_text_file

SST2, MRPC = TASKS["sst-2"], TASKS["mrpc"]


def read(path: Path, content: str, task: Task | None, *asked: str) -> tuple[list[str], list[str]]:
    path.write_text(content, encoding="utf-8")
    columns, _ = find_text_columns(path, task, asked)
    chunks = [chunk.examples for chunk in stream_text_file(path, columns, None if task is None else task.is_pair)]
    return [text for chunk in chunks for text in chunk.first], [text for chunk in chunks for text in chunk.second or ()]


@pytest.mark.parametrize(
    ("name", "content", "task", "texts"),
    [
        ("a.jsonl", '{"label": 0, "sentence": "a film"}\n{"sentence": "no, film"}\n', SST2, ["a film", "no, film"]),
        ("a.csv", 'label,sentence\n0,a film\n1,"no, film"\n', SST2, ["a film", "no, film"]),
        ("a.csv", "label;sentence\n0;a film\n1;no, film\n", SST2, ["a film", "no, film"]),
        ("a.tsv", "sentence\tlabel\na film\t0\nno, film\t1\n", SST2, ["a film", "no, film"]),
        ("a.tsv", "a film\nno, film\n", SST2, ["a film", "no, film"]),
        ("a.tsv", "id\tbody\n1\ta film\n2\tno, film\n", SST2, ["a film", "no, film"]),
        ("a.txt", "sentence\nno, film\n", SST2, ["sentence", "no, film"]),
        ("a.txt", "a film\nno, film\n", None, ["a film", "no, film"]),
        ("a.csv", "text\na film\n\n", None, ["a film", ""]),
        ("a.jsonl", '{"n": 1, "text": "a film"}\n{"text": null}\n{"text": 7}\n', None, ["a film", "", "7"]),
    ],
)
def test_texts(tmp_path: Path, name: str, content: str, task: Task | None, texts: list[str]) -> None:
    assert read(tmp_path / name, content, task) == (texts, [])


def test_pairs(tmp_path: Path) -> None:
    expected = (["a", "c"], ["b", "d"])
    assert read(tmp_path / "a.tsv", "a\tb\nc\td\n", MRPC) == expected
    assert read(tmp_path / "b.tsv", "#1 String\tQuality\t#2 String\na\t0\tb\nc\t1\td\n", MRPC) == expected
    assert read(tmp_path / "c.csv", "y,x\nb,a\nd,c\n", MRPC, "x", "y") == expected
    assert read(tmp_path / "c.csv", "y,x\nb,a\nd,c\n", None, "x", "y") == expected


def test_other_columns_are_kept_and_a_guess_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,body\n7,a film\n")
    assert find_text_columns(tmp_path / "a.csv", SST2) == (("body",), True)
    assert find_text_columns(tmp_path / "a.csv", SST2, ["id"]) == (("id",), False)
    (chunk,) = stream_text_file(tmp_path / "a.csv", ["body"], False)
    assert chunk.table is not None and chunk.table.rows == [{"id": "7", "body": "a film"}]


@pytest.mark.parametrize(
    ("name", "content", "task", "asked", "message"),
    [
        ("a.csv", "text\na\n", MRPC, (), r"no columns '#1 String' and '#2 String'.*has 'text'\. Give --text-column"),
        ("a.csv", "text,x\na,b\n", MRPC, ("text",), "--text-column text names 1 columns, and an example has 2"),
        ("a.csv", "text\na\n", SST2, ("body",), r"no column named 'body'; it has 'text'\. Give --text-column a name"),
        ("a.txt", "a film\n", SST2, ("body",), r"--text-column is for tables, which end in \.csv, \.tsv, \.jsonl"),
        ("a.jsonl", "a film\n", SST2, (), r"a\.jsonl, line 1: not valid JSON"),
        ("a.jsonl", '{"text": "a"}\n{"body": "a"}\n', SST2, (), r"line 2: expected a text under 'text', .*only 'body'"),
        ("a.jsonl", '{"text": "a"}\n{"text": [1]}\n', SST2, (), r"line 2: expected a text under 'text', found \[1\]"),
        ("a.csv", "1,2\n3,4\n", None, (), r"no column looks like texts: '1' \('3'\), '2' \('4'\)\. Give --text-column"),
    ],
)
def test_bad_tables(
    tmp_path: Path, name: str, content: str, task: Task | None, asked: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / name, content, task, *asked)
