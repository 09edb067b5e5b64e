"""Vocabulary of a WordPiece tokenizer: its tokens in the order of their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from power_bert.errors import shorten
from power_bert.storage.files import read_lines
from power_bert_runtime.tokenizer_settings import TokenizerSettings
from power_bert_runtime.word_pieces import check_tokens, num_wordpiece_tokens


class Vocabulary(list[str]):
    """Tokens in the order of their ids, with the settings of their tokenizer.

    As in Hugging Face's reader of `vocab.txt`, the last of several equal tokens counts, and an empty token is an
    unused id. Unused ids get names that occur in no text, so that all tokens differ.

    Args:
        tokens: Tokens in the order of their ids.
        settings: Settings of the tokenizer.
        source: Name of the source, for messages.
        notes: Notes for the user about the tokens.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        settings: TokenizerSettings | None = None,
        source: str = "vocabulary",
        notes: Iterable[str] = (),
    ) -> None:
        super().__init__(_with_unused_named(list(tokens)))
        self.settings = settings or TokenizerSettings()
        self.source = source
        self.notes = tuple(notes)

    @classmethod
    def of(cls, tokens: Iterable[str] | os.PathLike[str]) -> Vocabulary:
        """Return a `Vocabulary` as it is, read one from a path, or make one with the default settings."""
        if isinstance(tokens, str | os.PathLike):
            return read_vocabulary(tokens)
        return tokens if isinstance(tokens, cls) else cls(tokens)

    def with_settings(self, settings: TokenizerSettings) -> Vocabulary:
        """Return the same tokens with other settings."""
        return Vocabulary(self, settings, self.source, self.notes)

    @property
    def ids(self) -> dict[str, int]:
        """Token → its id."""
        return {token: index for index, token in enumerate(self)}

    @property
    def num_wordpiece_tokens(self) -> int:
        """Number of ids before the added tokens at the end; special tokens always count as WordPiece tokens."""
        return num_wordpiece_tokens(self, self.settings)

    def check(self) -> None:
        """Raise a `UserError` if a special token is missing that every text needs."""
        check_tokens(self, self.settings, self.source)


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
    """Read a `vocab.txt` with one token per line; the first line has id 0.

    Raises:
        UserError: The file is missing, empty or not UTF-8.
    """
    tokens = read_lines(Path(path))
    return Vocabulary(tokens, source=str(path), notes=_notes(str(path), tokens))


def is_lowercase(vocabulary: Iterable[str]) -> bool:
    """Guess from a vocabulary whether it is uncased: no capital letter except in tokens like [CLS]."""
    return all(token == token.lower() for token in vocabulary if not (token.startswith("[") and token.endswith("]")))


def _with_unused_named(tokens: list[str]) -> list[str]:
    last = {token: index for index, token in enumerate(tokens) if token}
    # Words of a text have no space, so no text contains this token.
    return [token if last.get(token) == index else f"[unused {index}]" for index, token in enumerate(tokens)]


def _notes(source: str, tokens: list[str]) -> list[str]:
    """Return notes on lines that have no effect."""
    lines: dict[str, int] = {}
    repeated, empty = [], []
    for line, token in enumerate(tokens, start=1):
        if not token:
            empty.append(line)
        elif token in lines:
            repeated.append((line, token, lines[token]))
        lines[token] = line
    notes = []
    if repeated:
        line, token, earlier = repeated[0]
        more = f", and {len(repeated) - 1} more such lines" if len(repeated) > 1 else ""
        notes.append(
            f"{source}, line {line}: token {shorten(repr(token), 60)} is on line {earlier} already{more}; the last "
            "line of a token counts, as in Hugging Face's loader"
        )
    if empty:
        more = f", and {len(empty) - 1} more such lines" if len(empty) > 1 else ""
        notes.append(f"{source}, line {empty[0]}: empty{more}; an id that nothing uses, as in Hugging Face's loader")
    return notes
