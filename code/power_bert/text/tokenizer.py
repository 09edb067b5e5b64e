"""BERT's WordPiece tokenizer as training uses it: the tokenizer of the runtime package, made from a vocabulary."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from power_bert.errors import UserError
from power_bert.storage.files import atomic_write_text
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import TokenizerSettings
from power_bert_runtime.word_pieces import WordPieces

# Special tokens of the vocabularies that this project trains.
SPECIAL_TOKENS = TokenizerSettings().special_tokens


class WordPieceTokenizer(WordPieces):
    """Tokenizer from texts to the token ids of a BERT vocabulary.

    As in Hugging Face's tokenizer, a special token that is written in a text ("[MASK]") becomes that token.

    Args:
        vocabulary: Tokens in the order of their ids, or path of a `vocab.txt` with one token per line. A `Vocabulary`
            has its own settings.
        lowercase: Whether the vocabulary is uncased, so that texts are lower-cased and, unless the settings say
            otherwise, accents stripped; None uses the settings of the vocabulary.

    Raises:
        UserError: The file cannot be read, is empty or not UTF-8, or a special token is missing.
    """

    def __init__(self, vocabulary: Sequence[str] | str | os.PathLike[str], lowercase: bool | None = None) -> None:
        tokens = Vocabulary.of(vocabulary)
        if lowercase is not None:
            tokens = tokens.with_settings(dataclasses.replace(tokens.settings, lowercase=lowercase))
        super().__init__(tokens, tokens.settings, tokens.source)
        self.vocabulary = tokens
        self._mask_id = tokens.ids.get(tokens.settings.mask_token)

    @property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased."""
        return self.settings.lowercase

    @property
    def mask_id(self) -> int:
        """Id of the mask token; raises a `UserError` if the vocabulary has none."""
        if self._mask_id is None:
            raise UserError(
                f"{self.vocabulary.source}: no token {self.settings.mask_token}, which masking needs. Give a "
                "vocabulary that has it."
            )
        return self._mask_id

    @property
    def special_ids(self) -> list[int]:
        """Ids of the special tokens, ascending."""
        found = {self.pad_id, self.unknown_id, self.cls_id, self.sep_id, self._mask_id}
        return sorted(index for index in found if index is not None)

    def reads_as(self, other: WordPieceTokenizer) -> bool:
        """Return whether another tokenizer gives the same ids for every text."""
        settings, others = (
            dataclasses.replace(each.settings, strip_accents=each.settings.strips_accents) for each in (self, other)
        )
        return self.vocabulary == other.vocabulary and settings == others

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary (`vocab.txt`) atomically, one token per line."""
        atomic_write_text(Path(path), "\n".join(self.vocabulary) + "\n")
