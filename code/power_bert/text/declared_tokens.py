"""Tokens that the files of a Hugging Face tokenizer declare besides its vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.text.tokenizer_json import LARGEST_GAP
from power_bert_runtime.parsing import shown
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings

ROLES = ("pad", "unk", "cls", "sep", "mask")
_FURTHER_SPECIAL_TOKENS = ("additional_special_tokens", "extra_special_tokens")
# Options for matching a token in a text that the browser page does not support.
_UNKNOWN_FLAGS = ("lstrip", "rstrip", "single_word")


@dataclass
class DeclaredTokens:
    """Declarations of several files; the first file to say how a token is matched in a text counts.

    Attributes:
        special: "pad", "unk", "cls", "sep" and "mask" → token, if declared.
        ids: Token → id; None if the file gives none.
        normalized: Token → whether it is matched after the text is normalized.
    """

    special: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int | None] = field(default_factory=dict)
    normalized: dict[str, bool] = field(default_factory=dict)

    def add_special(self, values: Mapping[str, Any], path: Path) -> None:
        """Add the special tokens of a `tokenizer_config.json` or a `special_tokens_map.json`."""
        for role in ROLES:
            if (value := values.get(f"{role}_token")) is not None:
                self.name(role, self._add(value, None, path, special=True), path)
        for key in _FURTHER_SPECIAL_TOKENS:
            further = values.get(key) or []
            if not isinstance(further, dict | list):
                raise UserError(f'{path}: "{key}" is {shown(further)}. Expected a list of tokens; download it again.')
            for value in further.values() if isinstance(further, dict) else further:
                self._add(value, None, path, special=True)

    def name(self, role: str, token: str, path: Path) -> None:
        """Declare which token is the pad, unk, cls, sep or mask token."""
        if self.special.setdefault(role, token) != token:
            raise UserError(
                f"{path}: the {role} token is {shown(token)}, but another file of the tokenizer says "
                f"{shown(self.special[role])}. Correct the wrong one."
            )

    def add_numbered(self, values: Iterable[tuple[Any, Any]], path: Path) -> None:
        """Add pairs of an id and a token, which is a text or an object with flags."""
        for index, value in values:
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise UserError(f"{path}: the token {shown(value)} has the id {shown(index)}. Download it again.")
            self._add(value, index, path, special=False)

    def _add(self, value: Any, index: int | None, path: Path, special: bool) -> str:
        flags = value if isinstance(value, dict) else {"content": value}
        token = flags.get("content")
        if not isinstance(token, str) or not token or {"\n", "\r", "\ufeff"} & set(token):
            raise UserError(f"{path}: a token is {shown(token)}. Expected a text of one line; download it again.")
        if unknown := [flag for flag in _UNKNOWN_FLAGS if flags.get(flag)]:
            raise UserError(
                f'{path}: the token {shown(token)} has "{unknown[0]}": {shown(flags[unknown[0]])}, which is not '
                "supported. Expected false; give another checkpoint."
            )
        known = self.ids.setdefault(token, index)
        if None not in (known, index) and known != index:
            raise UserError(f"{path}: the token {shown(token)} has the id {index}, another file says {known}.")
        self.ids[token] = index if known is None else known
        is_special = special or token in self.special.values()
        self.normalized.setdefault(token, bool(flags.get("normalized", not flags.get("special", is_special))))
        return token

    @property
    def settings(self) -> TokenizerSettings:
        """Tokenizer settings with the special and the added tokens.

        A special token also counts as an added token if it is not matched in the way special tokens usually are.
        """
        names: dict[str, Any] = {f"{role}_token": token for role, token in self.special.items()}
        settings = TokenizerSettings(**names)
        added = tuple(
            AddedToken(token, normalized)
            for token, normalized in self.normalized.items()
            if normalized or token not in settings.special_tokens
        )
        return dataclasses.replace(settings, added_tokens=added)

    def append_to(self, tokens: list[str], source: str) -> list[str]:
        """Return the tokens of a vocabulary, with the declared tokens that it lacks.

        Tokens without an id come last. Special tokens without an id are not added: a vocabulary without a mask token
        does not get one.

        Raises:
            UserError: The vocabulary has another token at an id, or has the token at another id.
        """
        tokens = list(tokens)
        ids = {token: index for index, token in enumerate(tokens)}
        largest = len(tokens) + len(self.ids) + LARGEST_GAP
        for token, index in sorted(self.ids.items(), key=lambda item: (item[1] is None, item[1] or 0)):
            if index is None and token in self.special.values():
                continue
            place = index if index is not None else ids.get(token, len(tokens))
            if ids.get(token, place) != place or (place < len(tokens) and tokens[place] not in ("", token)):
                raise UserError(
                    f"{source}: line {place + 1} should be the added token {shown(token)}. Expected the vocabulary "
                    "that the added tokens belong to; use the files of one checkpoint."
                )
            if place > largest:
                raise UserError(
                    f"{source}: has {len(tokens)} tokens, but the added token {shown(token)} has id {place}."
                )
            tokens += [""] * (place + 1 - len(tokens))
            tokens[place] = token
        return tokens
