"""Tests of power_bert.analysis.reading_speed."""

import io
import string
from pathlib import Path

import pytest
from rich.console import Console

from power_bert.analysis.reading_speed import measure_reading, reading_table, write_qqp_rows
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import TASKS

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, "what", "why", "##s"]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    return path


def test_the_rows_are_those_of_qqp_and_follow_from_the_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        write_qqp_rows(tmp_path / name / "train.tsv", 50, VOCABULARY, seed)
    first, again, other = ((tmp_path / name / "train.tsv").read_bytes() for name in "abc")
    assert first == again != other
    examples = read_examples(TASKS["qqp"], "train", tmp_path / "a")
    assert len(examples) == 50 and examples.labels is not None and set(examples.labels) == {0, 1}
    assert all(5 <= len(text.split()) <= 17 for text in examples.first)


def test_measurement(vocabulary: Path) -> None:
    speed = measure_reading(300, vocabulary, Console(file=io.StringIO()))
    assert speed.rows == 300 and speed.file_bytes > 300 * 30
    assert speed.sentences_per_second == pytest.approx(600 / speed.tokenising_seconds)
    assert 0 < speed.start_bytes <= speed.streaming_bytes <= speed.peak_bytes
    console = Console(file=io.StringIO(), width=120)
    console.print(reading_table(speed))
    assert f"{speed.sentences_per_second:,.0f}" in console.file.getvalue()  # type: ignore[attr-defined]
