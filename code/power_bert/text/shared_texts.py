"""Warnings about texts that several splits have: a score on texts that were trained on is too high."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from power_bert.errors import shorten
from power_bert.text.examples import Examples, has_split, stream_examples
from power_bert.text.task import Split, Task

_SCORED: tuple[Split, ...] = ("dev", "test")


def warn_of_shared_texts(task: Task, data_dir: str | Path, train: Examples) -> Iterator[str]:
    """Yield a warning for each of dev and test that has texts of the training data.

    Args:
        task: Task of the data.
        data_dir: Where the data lie.
        train: Training data.
    """
    known = set(_texts(train))
    for split in _SCORED:
        shared, rows = [], 0
        for examples in stream_examples(task, split, data_dir) if has_split(task, split, data_dir) else ():
            numbered = enumerate(_texts(examples), start=rows + 1)
            shared += [(number, text[0]) for number, text in numbered if text in known]
            rows += len(examples)
        if shared:
            number, text = shared[0]
            are = "is a training text" if len(shared) == 1 else "are training texts"
            yield (
                f"warning: {len(shared):,} of {rows:,} {split} texts {are} too, such as {shorten(repr(text), 60)} in "
                f"row {number}; the {split} score will be higher than on new texts"
            )


def _texts(examples: Examples) -> Iterator[tuple[str, ...]]:
    return zip(examples.first, examples.second, strict=True) if examples.second else zip(examples.first, strict=True)
