"""Settings that distinguish WordPiece tokenizers of BERT, besides their tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from power_bert_runtime.errors import UserError
from power_bert_runtime.parsing import shown


@dataclass(frozen=True)
class AddedToken:
    """Token that is found in a text before the text is split into words.

    Attributes:
        content: Token as it is written in a text.
        normalized: Whether it is searched after lower-casing and stripping of accents, which it undergoes too.
    """

    content: str
    normalized: bool = False


@dataclass(frozen=True)
class TokenizerSettings:
    """Settings of a WordPiece tokenizer; except for the first two, the names are Hugging Face's.

    Attributes:
        lowercase: Whether texts are lower-cased.
        added_tokens: Further tokens that may occur in a text, besides the special tokens. Those at the end of the
            vocabulary are not WordPiece tokens.
        strip_accents: Whether accents are stripped; None strips them if texts are lower-cased.
        tokenize_chinese_chars: Whether each CJK ideograph is a word of its own.
        pad_token: Token that pads a batch.
        unk_token: Token for a word that cannot be split into tokens of the vocabulary.
        cls_token: Token at the start of an example.
        sep_token: Token at the end of each text of an example.
        mask_token: Token that masked language models predict; a vocabulary may lack it.
    """

    lowercase: bool = True
    added_tokens: tuple[AddedToken, ...] = ()
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    pad_token: str = "[PAD]"
    unk_token: str = "[UNK]"
    cls_token: str = "[CLS]"
    sep_token: str = "[SEP]"
    mask_token: str = "[MASK]"

    @property
    def strips_accents(self) -> bool:
        """Whether accents are stripped."""
        return self.lowercase if self.strip_accents is None else self.strip_accents

    @property
    def needed_tokens(self) -> tuple[str, ...]:
        """Special tokens that a vocabulary must have."""
        return (self.pad_token, self.unk_token, self.cls_token, self.sep_token)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """All five special tokens."""
        return (*self.needed_tokens, self.mask_token)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def unusual(self) -> dict[str, Any]:
        """Settings of `to_json` that differ from those of a plain BERT, cased or uncased."""
        usual = TokenizerSettings(self.lowercase).to_json()
        return {name: value for name, value in self.to_json().items() if value != usual[name]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str) -> TokenizerSettings:
        """Read settings from an object that `to_json` has written.

        Args:
            values: Object of settings; missing ones have their default.
            source: Name of the source, for messages.

        Raises:
            UserError: A key is unknown, or a value has the wrong type.
        """
        usual = dataclasses.asdict(cls())
        for name, value in values.items():
            kinds = (bool, type(None)) if name == "strip_accents" else (type(usual.get(name)), list)
            if name not in usual or not isinstance(value, kinds) or isinstance(value, list) != (name == "added_tokens"):
                raise UserError(f'{source}: "{name}" is {shown(value)}, which is no setting of a tokenizer.')
        added = [_read_added_token(value, source) for value in values.get("added_tokens", ())]
        return cls(**{**values, "added_tokens": tuple(added)})


def _read_added_token(value: Any, source: str) -> AddedToken:
    if (
        not isinstance(value, dict)
        or value.keys() != {"content", "normalized"}
        or not isinstance(value["content"], str)
        or not isinstance(value["normalized"], bool)
    ):
        raise UserError(f'{source}: "added_tokens" holds {shown(value)}. Expected objects with content and normalized.')
    return AddedToken(**value)
