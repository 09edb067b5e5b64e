"""Guess which columns of a table hold the texts and the labels, or ask where several or none may."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.text.row_readers import list_names, text_of
from power_bert.text.table_rows import read_table
from power_bert.text.targets import NUMBER

# Usual names in lower case, the telling ones before those that other columns may have beside them.
_TEXT_NAMES = (
    frozenset(("text", "sentence")),
    frozenset(
        (
            *("body", "message", "content", "comment", "review", "tweet", "utterance", "utt", "query", "question"),
            *("document", "article", "abstract", "description", "summary", "headline", "subject", "title", "email"),
        )
    ),
)
_LABEL_NAMES = (
    frozenset(("label", "labels", "class")),
    frozenset(("category", "target", "topic", "intent", "sentiment", "emotion", "tag", "y", "score", "rating")),
)
# Rows that decide. A column holds texts if its values have about as many words as this, and most are different; it
# holds labels if they are shorter and each occurs several times.
_ROWS = 5000
_WORDS_OF_TEXT = 3.0
_DIFFERENT_TEXTS = 0.3
_ROWS_PER_LABEL = 4
# Dates, times and versions repeat, but are no labels.
_SEVERAL_NUMBERS = re.compile(r"\d+\D+\d+")
# Scripts without spaces between words: a character counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\s\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True)
class _Column:
    """What the values of a column look like.

    Attributes:
        name: Its name.
        values: Its values that are not empty, as texts.
        is_plain: Whether none is a list or an object.
    """

    name: str
    values: list[str]
    is_plain: bool

    @property
    def different(self) -> int:
        return len(set(self.values))

    @property
    def is_numeric(self) -> bool:
        return bool(self.values) and all(NUMBER.fullmatch(value) for value in self.values)

    @property
    def words(self) -> float:
        """Mean number of words of a value."""
        return sum(len(_WORD.findall(value)) for value in self.values) / max(len(self.values), 1)

    @property
    def looks_like_text(self) -> bool:
        few = self.different < _DIFFERENT_TEXTS * len(self.values)
        return self.is_plain and not self.is_numeric and not few and self.words >= _WORDS_OF_TEXT

    def looks_like_label(self, is_score: bool) -> bool:
        if is_score:
            return self.is_numeric
        repeats = 2 <= self.different <= len(self.values) / _ROWS_PER_LABEL
        is_date = all(_SEVERAL_NUMBERS.search(value) for value in self.values)
        return self.is_plain and repeats and not is_date and self.words < _WORDS_OF_TEXT

    def example(self) -> str:
        return f"{self.name!r} ({shorten(repr(next(iter(self.values), '')), 40)})"

    def counted(self) -> str:
        return f"{self.name!r} ({self.different} different value{'' if self.different == 1 else 's'})"


def guess_label_column(path: Path, taken: Collection[str], is_score: bool) -> str:
    """Guess the column of the labels, or of the scores of a regression.

    Args:
        path: Path of the table.
        taken: Columns that hold something else.
        is_score: Whether the labels are scores.

    Raises:
        UserError: No column or several may hold them; the message asks for LABEL_COLUMN.
    """
    columns = [column for column in _columns(path) if column.name not in taken]
    alike = [column for column in columns if column.looks_like_label(is_score)]
    for candidates in (*(_named(columns, names) for names in _LABEL_NAMES), alike):
        if len(candidates) == 1:
            return candidates[0].name
        if candidates:
            raise UserError(
                f"{path}: which column holds the labels? {_list(column.counted() for column in candidates)} could. "
                f"Set LABEL_COLUMN, as in LABEL_COLUMN={candidates[0].name}"
            )
    what = "numbers" if is_score else "labels, which repeat from row to row"
    raise UserError(
        f"{path}: no column looks like {what}: {_list(column.counted() for column in columns) or 'there is no other'}. "
        "Training needs a column with the label of each row: add one, or set LABEL_COLUMN to its name. To predict the "
        f"texts of the file, `bash run.sh predict RUN --input {path.name}`"
    )


def has_usual_text_column(names: Iterable[str]) -> bool:
    """Return whether one of the names is usual for a column of texts."""
    return any(name.strip().lower() in usual for name in names for usual in _TEXT_NAMES)


def guess_text_column(path: Path, taken: Collection[str], setting: str = "TEXT_COLUMNS=") -> str:
    """Guess the column of the texts.

    Args:
        path: Path of the table.
        taken: Columns that hold something else.
        setting: What names the columns, for messages: "TEXT_COLUMNS=" or "--text-column ".

    Raises:
        UserError: No column or several may hold them; the message asks for `setting`.
    """
    columns = [column for column in _columns(path) if column.name not in taken]
    alike = [column for column in columns if column.looks_like_text]
    telling, usual = (_named(columns, names) for names in _TEXT_NAMES)
    others = [column for column in columns if column.is_plain and not column.is_numeric and column.values]
    for candidates in (telling, alike, usual, others if len(others) == 1 else []):
        if len(candidates) == 1:
            return candidates[0].name
        if candidates:
            first, second, *_ = (column.name for column in candidates)
            raise UserError(
                f"{path}: which column holds the texts? {_list(column.example() for column in candidates)} could. "
                f"Give {setting}{first} or {setting}{second}, or {setting}{first},{second} to read two as a pair"
            )
    raise UserError(
        f"{path}: no column looks like texts: {_list(column.example() for column in columns) or 'there is no other'}. "
        f"Give {setting}NAME with the name of one"
    )


def column_names(path: Path) -> list[str]:
    """Return the names of the columns; in JSON lines the keys of the first object."""
    return list(next(read_table(path, 1)).rows[0])


def check_columns(path: Path, asked: Sequence[str], setting: str) -> None:
    """Raise a UserError if a table lacks one of the columns that a setting names."""
    names = column_names(path)
    if missing := [name for name in asked if name not in names]:
        raise UserError(
            f"{path}: no column named {missing[0]!r}; it has {list_names(names)}. Give {setting} a name that is there"
        )


def _columns(path: Path) -> list[_Column]:
    rows = next(read_table(path, _ROWS)).rows
    names = dict.fromkeys(name for row in rows for name in row)
    return [_column(name, [row.get(name) for row in rows]) for name in names]


def _column(name: str, values: list[Any]) -> _Column:
    texts = [text_of(value) for value in values]
    return _Column(name, [text for text in texts if text], None not in texts)


def _named(columns: Iterable[_Column], names: Collection[str]) -> list[_Column]:
    return [column for column in columns if column.name.strip().lower() in names]


def _list(parts: Iterable[str]) -> str:
    return shorten(", ".join(parts), 400)
