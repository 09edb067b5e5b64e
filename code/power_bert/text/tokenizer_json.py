"""A `tokenizer.json` of Hugging Face's tokenizers that describes a WordPiece tokenizer of BERT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.storage.json_object import read_json_object
from power_bert_runtime.parsing import shown

_ADVICE = "Only the WordPiece tokenizer of BERT can be loaded; give another checkpoint."
# Key of the normalizer → name of the setting.
_FLAGS = {
    "lowercase": "lowercase",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}
# A file with this many more ids than tokens is damaged.
LARGEST_GAP = 1024


@dataclass(frozen=True)
class TokenizerJson:
    """Content of a `tokenizer.json`.

    Attributes:
        tokens: Tokens of the model in the order of their ids; an empty token is an unused id.
        flags: `lowercase`, `strip_accents` and `tokenize_chinese_chars`, if the file has them.
        special_tokens: "unk", "cls" and "sep" → token, if the file has them.
        added_tokens: Tokens outside of the model, as the file declares them.
    """

    tokens: list[str]
    flags: Mapping[str, bool | None]
    special_tokens: Mapping[str, str]
    added_tokens: list[Any]


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """Read a `tokenizer.json`.

    Raises:
        UserError: The file is damaged, or describes no WordPiece tokenizer of BERT.
    """
    content = read_json_object(path)
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece" or "merges" in model:
        kind = model.get("type") if isinstance(model, dict) else model
        raise UserError(f'{path}: "model" is of type {shown(kind)}. {_ADVICE}')
    _check(model, "continuing_subword_prefix", "##", path)
    _check(model, "max_input_chars_per_word", 100, path)
    names = {"unk": model["unk_token"]} if "unk_token" in model else {}
    names |= _special_tokens(content.get("post_processor"), path)
    for name in names.values():
        if not isinstance(name, str):
            raise UserError(f"{path}: a special token is {shown(name)}. Expected a text; download it again.")
    if content.get("pre_tokenizer", {"type": "BertPreTokenizer"}) != {"type": "BertPreTokenizer"}:
        raise UserError(f'{path}: "pre_tokenizer" is not BertPreTokenizer. {_ADVICE}')
    added = content.get("added_tokens", [])
    if not isinstance(added, list):
        raise UserError(f'{path}: "added_tokens" is {shown(added)}. Expected a list; download it again.')
    return TokenizerJson(_tokens(model.get("vocab"), path), _flags(content, path), names, added)


def _check(values: Mapping[str, Any], key: str, expected: Any, path: Path) -> None:
    if values.get(key, expected) != expected:
        raise UserError(f'{path}: "{key}" is {shown(values[key])}. Expected {shown(expected)}. {_ADVICE}')


def _tokens(vocab: Any, path: Path) -> list[str]:
    if not isinstance(vocab, dict):
        raise UserError(f'{path}: "vocab" is {shown(vocab)}. Expected an object from tokens to ids. {_ADVICE}')
    tokens: list[str] = []
    for token, index in vocab.items():
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(vocab) + LARGEST_GAP:
            raise UserError(f'{path}: "vocab" gives {shown(token)} the id {shown(index)}. Download it again.')
        tokens += [""] * (index + 1 - len(tokens))
        if tokens[index]:
            raise UserError(
                f'{path}: "vocab" gives {shown(token)} and {shown(tokens[index])} the same id {index}. Download it '
                "again."
            )
        # A token with a line end matches no text, since words end there, and would break a vocab.txt.
        tokens[index] = "" if {"\n", "\r", "\ufeff"} & set(token) else token
    return tokens


def _flags(content: Mapping[str, Any], path: Path) -> dict[str, bool | None]:
    if "normalizer" not in content:
        return {}
    normalizer = content["normalizer"]
    if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
        raise UserError(f'{path}: "normalizer" is not BertNormalizer. {_ADVICE}')
    _check(normalizer, "clean_text", True, path)
    return {name: read_flag(normalizer, key, path) for key, name in _FLAGS.items() if key in normalizer}


def read_flag(values: Mapping[str, Any], key: str, path: Path) -> bool | None:
    """Return true, false or, for null, None; raise a `UserError` for any other value."""
    value = values.get(key)
    if value is not None and not isinstance(value, bool):
        raise UserError(f'{path}: "{key}" is {shown(value)}. Expected true or false; correct it.')
    return value


def _special_tokens(processor: Any, path: Path) -> dict[str, Any]:
    """Return the tokens before and after a text, if they are placed as in BERT's tokenizer."""
    match processor:
        case None:
            return {}
        case {"type": "BertProcessing", "cls": [cls, _], "sep": [sep, _]}:
            return {"cls": cls, "sep": sep}
        case {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": cls}}, _, {"SpecialToken": {"id": sep}}] as single,
            "pair": pair,
        } if pair == _pair_template(cls, sep) and single == pair[:3]:
            return {"cls": cls, "sep": sep}
    raise UserError(f'{path}: "post_processor" does not make [CLS] text [SEP]. {_ADVICE}')


def _pair_template(cls: Any, sep: Any) -> list[Any]:
    special = [{"SpecialToken": {"id": name, "type_id": segment}} for name, segment in ((cls, 0), (sep, 0), (sep, 1))]
    texts = [{"Sequence": {"id": name, "type_id": segment}} for name, segment in (("A", 0), ("B", 1))]
    return [special[0], texts[0], special[1], texts[1], special[2]]
