"""Tests of power_bert.benchmarks.reading_speed."""

import io
import itertools
import string
from pathlib import Path

import pytest
from rich.console import Console

from power_bert.benchmarks.reading_speed import (
    ReadingSpeed,
    generate_questions,
    measure_reading,
    reading_table,
    write_qqp_rows,
)
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
    assert speed.sentences_per_second == pytest.approx(600 / speed.tokenizing_seconds)
    assert 0 < speed.start_bytes <= speed.streaming_bytes <= speed.peak_bytes
    console = Console(file=io.StringIO(), width=120)
    console.print(reading_table(speed))
    assert f"{speed.sentences_per_second:,.0f}" in console.file.getvalue()  # type: ignore[attr-defined]


def test_questions_have_the_lengths_and_the_word_frequencies_of_a_language() -> None:
    vocabulary = [*VOCABULARY, *(f"word{chr(97 + number)}" for number in range(20)), "café", "7"]
    questions = list(itertools.islice(generate_questions(vocabulary, 0), 2000))
    lengths = [len(question.split()) for question in questions]
    assert (min(lengths), max(lengths)) == (5, 17) and 10.5 < sum(lengths) / len(lengths) < 11.5
    assert all(question.endswith("?") for question in questions)
    words = " ".join(questions).replace("?", "").split()
    assert all(word.isascii() and word.isalpha() for word in words), "no special tokens, parts of words or numbers"
    counts = sorted((words.count(word) for word in set(words)), reverse=True)
    assert 1.6 < counts[0] / counts[1] < 2.4, "the second word is half as frequent as the first (Zipf)"
    assert any(word not in vocabulary for word in words), "some words consist of several tokens"


def test_the_table_shows_rates_and_what_each_step_adds() -> None:
    console = Console(file=io.StringIO(), width=120)
    speed = ReadingSpeed(
        rows=1000, file_bytes=2_000_000, tokens=25.25, streaming_seconds=0.5, reading_seconds=0.25,
        tokenizing_seconds=2.0, start_bytes=300_000_000, streaming_bytes=310_000_000, peak_bytes=1_400_000_000,
    )  # fmt: skip
    console.print(reading_table(speed))
    title, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert title.strip() == "1,000 rows, 2 MB, 25.2 tokens per row on average"
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in lines if "│" in line]
    assert cells == [
        ["rows streamed and checked per second", "2,000"],
        ["rows read per second", "4,000"],
        ["sentences tokenized per second", "1,000"],
        ["memory before, libraries loaded", "300 MB"],
        ["memory that streaming adds", "10 MB"],
        ["memory that reading and tokenization add", "1,100 MB"],
        ["peak memory of the process", "1,400 MB"],
    ]
