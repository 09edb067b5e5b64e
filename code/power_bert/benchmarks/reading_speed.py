"""Speed and memory of reading and tokenization, on generated rows with the layout and lengths of QQP."""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.table import Table

from power_bert.text.examples import count_examples, read_examples
from power_bert.text.glue_tasks import TASKS
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.train.training import EncodedExamples

_QQP = TASKS["qqp"]
# Shortest and longest question in words; those of QQP have 11 on average.
_WORDS = (5, 17)
# Every so many words one is not in the vocabulary and consists of several tokens.
_RARE_EVERY = 10
_MEGABYTE = 1e6


@dataclass(frozen=True)
class ReadingSpeed:
    """Speed and memory of reading and tokenization.

    Attributes:
        rows: Number of rows of the file, each with two sentences.
        file_bytes: Size of the file.
        tokens: Mean number of tokens of an example, with [CLS] and [SEP].
        streaming_seconds: Time to read and check the file chunk by chunk, as test data are read.
        reading_seconds: Time to read it as a whole, as training data are read.
        tokenizing_seconds: Time to tokenize it.
        start_bytes: Peak memory of the process before, with the libraries of a run loaded.
        streaming_bytes: Peak memory after streaming.
        peak_bytes: Peak memory after reading and tokenization, with texts and token ids still held.
    """

    rows: int
    file_bytes: int
    tokens: float
    streaming_seconds: float
    reading_seconds: float
    tokenizing_seconds: float
    start_bytes: int
    streaming_bytes: int
    peak_bytes: int

    @property
    def sentences_per_second(self) -> float:
        """Throughput of the tokenizer; an example has two sentences."""
        return 2 * self.rows / self.tokenizing_seconds


def measure_reading(rows: int, vocabulary: Path, console: Console, seed: int = 0) -> ReadingSpeed:
    """Generate a training file of `rows` rows in a temporary folder, read it and tokenize it as a run does.

    Args:
        rows: Number of rows, at least 1.
        vocabulary: `vocab.txt` of an uncased BERT.
        console: Console for progress.
        seed: Random seed of the generated texts.
    """
    tokenizer = WordPieceTokenizer(vocabulary, lowercase=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tsv"
        console.print(f"generating {rows:,} rows", markup=False)
        write_qqp_rows(path, rows, tokenizer.vocabulary, seed)
        start_bytes = peak_memory()
        console.print("reading", markup=False)
        started = time.perf_counter()
        count_examples(_QQP, "train", folder)
        streamed, streaming_bytes = time.perf_counter(), peak_memory()
        examples = read_examples(_QQP, "train", folder)
        read = time.perf_counter()
        console.print("tokenizing", markup=False)
        split = EncodedExamples.of(examples, tokenizer, _QQP.defaults.max_length)
        return ReadingSpeed(
            rows=len(examples),
            file_bytes=path.stat().st_size,
            tokens=float(split.encoded.lengths.mean()),
            streaming_seconds=streamed - started,
            reading_seconds=read - streamed,
            tokenizing_seconds=time.perf_counter() - read,
            start_bytes=start_bytes,
            streaming_bytes=streaming_bytes,
            peak_bytes=peak_memory(),
        )


def generate_questions(vocabulary: list[str], seed: int) -> Iterator[str]:
    """Yield questions of the length of QQP's without end; word frequencies follow Zipf's law, as in a language."""
    generator = random.Random(seed)
    whole = [token for token in vocabulary if token.isascii() and token.isalpha()]
    generator.shuffle(whole)
    words = [word + whole[0] if rank % _RARE_EVERY == 0 else word for rank, word in enumerate(whole, start=1)]
    cumulative = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))

    while True:
        yield " ".join(generator.choices(words, cum_weights=cumulative, k=generator.randint(*_WORDS))) + "?"


def write_qqp_rows(path: Path, rows: int, vocabulary: list[str], seed: int) -> None:
    """Write a training file in the layout of QQP."""
    questions = generate_questions(vocabulary, seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n")
        for row in range(rows):
            file.write(f"{row}\t{2 * row}\t{2 * row + 1}\t{next(questions)}\t{next(questions)}\t{row % 2}\n")


def reading_table(speed: ReadingSpeed) -> Table:
    """Return the figures as a table for the console."""
    size = f"{speed.rows:,} rows, {speed.file_bytes / _MEGABYTE:.0f} MB, {speed.tokens:.1f} tokens per row on average"
    table = Table(title=size, title_justify="left", show_header=False)
    grown = [value - speed.start_bytes for value in (speed.streaming_bytes, speed.peak_bytes)]
    for name, value in (
        ("rows streamed and checked per second", f"{speed.rows / speed.streaming_seconds:,.0f}"),
        ("rows read per second", f"{speed.rows / speed.reading_seconds:,.0f}"),
        ("sentences tokenized per second", f"{speed.sentences_per_second:,.0f}"),
        ("memory before, libraries loaded", f"{speed.start_bytes / _MEGABYTE:,.0f} MB"),
        ("memory that streaming adds", f"{grown[0] / _MEGABYTE:,.0f} MB"),
        ("memory that reading and tokenization add", f"{grown[1] / _MEGABYTE:,.0f} MB"),
        ("peak memory of the process", f"{speed.peak_bytes / _MEGABYTE:,.0f} MB"),
    ):
        table.add_row(name, value)
    return table


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
