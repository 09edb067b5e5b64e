"""The tokens of a WordPiece tokenizer in the order of their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from power_bert.errors import UserError, shorten
from power_bert.files import read_lines
from power_bert.text.tokenizer_settings import TokenizerSettings

_ADVICE = "use the vocab.txt of the checkpoint"


class Vocabulary(list[str]):
    """The tokens in the order of their ids, with the settings of the tokenizer that they belong to.

    As Hugging Face reads a `vocab.txt`, the last of several equal tokens counts, and an empty one is an id that nothing
    uses. Such ids get a name that no text has, so that all tokens differ.

    Args:
        tokens: The tokens.
        settings: Of the tokenizer.
        source: Where they come from, for messages.
        notes: What the user should know about them.
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
        """Return `tokens` as they are where they are a `Vocabulary`, else with the usual settings; a path is read."""
        if isinstance(tokens, str | os.PathLike):
            return read_vocabulary(tokens)
        return tokens if isinstance(tokens, cls) else cls(tokens)

    def with_settings(self, settings: TokenizerSettings) -> Vocabulary:
        """Return the same tokens with other settings."""
        return Vocabulary(self, settings, self.source, self.notes)

    @property
    def ids(self) -> dict[str, int]:
        """Token → id."""
        return {token: index for index, token in enumerate(self)}

    @property
    def num_word_pieces(self) -> int:
        """Number of ids before the added tokens at the end; the special tokens are word pieces, wherever they stand."""
        added = {token.content for token in self.settings.added_tokens} - set(self.settings.special_tokens)
        return next((index for index in range(len(self), 0, -1) if self[index - 1] not in added), 0)

    def check(self) -> None:
        """Raise a UserError where a special token is missing that every text needs."""
        if not self:
            raise UserError(f"{self.source}: no tokens. Expected one token a line; {_ADVICE}.")
        if missing := sorted(set(self.settings.needed_tokens) - set(self)):
            raise UserError(
                f"{self.source}: special tokens are missing: {shorten(', '.join(missing))}. Expected a BERT vocabulary "
                f"with {shorten(', '.join(self.settings.needed_tokens))}; {_ADVICE}."
            )


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
    """Read a `vocab.txt`: one token a line, its id the line's number less one.

    Raises:
        UserError: The file is missing, empty or not UTF-8.
    """
    tokens = read_lines(Path(path))
    return Vocabulary(tokens, source=str(path), notes=_notes(str(path), tokens))


def is_lowercase(vocabulary: Iterable[str]) -> bool:
    """Guess from a vocabulary whether it is uncased: no capital letter outside tokens such as [CLS]."""
    return all(token == token.lower() for token in vocabulary if not (token.startswith("[") and token.endswith("]")))


def _with_unused_named(tokens: list[str]) -> list[str]:
    last = {token: index for index, token in enumerate(tokens) if token}
    # A word of a text has no space, so this is none of its pieces.
    return [token if last.get(token) == index else f"[unused {index}]" for index, token in enumerate(tokens)]


def _notes(source: str, tokens: list[str]) -> list[str]:
    """Say which lines count for nothing."""
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
