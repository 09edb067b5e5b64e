"""Tests of power_bert.text.text_files."""

from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Task
from power_bert.text.text_files import stream_text_file

SST2, MRPC = TASKS["sst-2"], TASKS["mrpc"]


def read(path: Path, content: str, task: Task | None) -> tuple[list[str], list[str]]:
    path.write_text(content, encoding="utf-8")
    chunks = list(stream_text_file(path, task))
    return [text for chunk in chunks for text in chunk.first], [text for chunk in chunks for text in chunk.second or ()]


@pytest.mark.parametrize(
    ("name", "content", "task", "texts"),
    [
        ("a.jsonl", '{"label": 0, "sentence": "a film"}\n{"sentence": "no, film"}\n', SST2, ["a film", "no, film"]),
        ("a.csv", 'label,sentence\n0,a film\n1,"no, film"\n', SST2, ["a film", "no, film"]),
        ("a.tsv", "sentence\tlabel\na film\t0\nno, film\t1\n", SST2, ["a film", "no, film"]),
        ("a.tsv", "a film\nno, film\n", SST2, ["a film", "no, film"]),
        ("a.txt", "sentence\nno, film\n", SST2, ["sentence", "no, film"]),
        ("a.txt", "a film\nno, film\n", None, ["a film", "no, film"]),
    ],
)
def test_texts(tmp_path: Path, name: str, content: str, task: Task | None, texts: list[str]) -> None:
    assert read(tmp_path / name, content, task) == (texts, [])


def test_pairs(tmp_path: Path) -> None:
    expected = (["a", "c"], ["b", "d"])
    assert read(tmp_path / "a.tsv", "a\tb\nc\td\n", MRPC) == expected
    assert read(tmp_path / "b.tsv", "#1 String\tQuality\t#2 String\na\t0\tb\nc\t1\td\n", MRPC) == expected


@pytest.mark.parametrize(
    ("name", "content", "task", "message"),
    [
        (
            "a.jsonl",
            '{"text": "a"}',
            SST2,
            r"line 1: no key 'sentence'.* has: 'text'\. Expected texts under 'sentence'",
        ),
        ("a.csv", "text\na\n", SST2, r"line 1: no column named 'sentence'.* as in the data of sst-2; rename it"),
        ("a.csv", "text\na\n", None, r"a\.csv: a table, but without a task .* Give --task"),
        ("a.jsonl", "a film\n", SST2, r"a\.jsonl, line 1: not valid JSON"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, content: str, task: Task | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / name, content, task)
