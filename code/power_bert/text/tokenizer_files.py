"""Tokenizer of a Hugging Face checkpoint: its vocabulary and its settings, or a clear refusal.

`vocab.txt` or `tokenizer.json` holds the tokens. If files disagree, `tokenizer_config.json` has priority, then
`tokenizer.json`, `special_tokens_map.json` and `added_tokens.json`, as in Hugging Face's `BertTokenizer`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.storage.json_object import read_json_object
from power_bert.text.declared_tokens import DeclaredTokens
from power_bert.text.tokenizer_json import TokenizerJson, read_flag, read_tokenizer_json
from power_bert.text.wordpiece_vocabulary import Vocabulary, is_lowercase, read_vocabulary
from power_bert_runtime.parsing import shown
from power_bert_runtime.tokenizer_settings import TokenizerSettings

CONFIG_FILE, JSON_FILE, VOCABULARY_FILE = "tokenizer_config.json", "tokenizer.json", "vocab.txt"
SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE = "special_tokens_map.json", "added_tokens.json"
TOKENIZER_FILES = (CONFIG_FILE, JSON_FILE, VOCABULARY_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE)
# Classes of Hugging Face that are BERT's WordPiece under another name; "Fast" may follow.
_BERT_CLASSES = ("BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer")
# Classes for any tokenizer.json, whose own settings then count.
_GENERIC_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
# Key of tokenizer_config.json → name of the setting.
_FLAGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "tokenize_chinese_chars",
}
# Keys of tokenizer_config.json that change the tokenizer → value for BERT's WordPiece.
_BERT_VALUES: Mapping[str, Any] = {
    "do_basic_tokenize": True,
    "clean_text": True,
    "wordpieces_prefix": "##",
    "max_input_chars_per_word": 100,
    "word_tokenizer_type": "basic",
    "subword_tokenizer_type": "wordpiece",
    "split_special_tokens": False,
}
_REFUSAL = "Only the WordPiece tokenizer of BERT can be loaded; give another checkpoint."


def read_tokenizer(folder: Path, vocabulary_path: Path | None = None) -> Vocabulary | None:
    """Read the tokenizer of a checkpoint.

    Args:
        folder: Folder of the checkpoint; all of its tokenizer files are optional.
        vocabulary_path: Path of a `vocab.txt`; None uses the folder's, or else its `tokenizer.json`.

    Returns:
        Tokens with their settings; None if there are no tokens.

    Raises:
        UserError: A file is damaged or contradicts another, or the tokenizer is not BERT's WordPiece tokenizer.
    """
    config = _read(folder / CONFIG_FILE)
    is_generic = _check_class(folder, config)
    stored = read_tokenizer_json(folder / JSON_FILE) if (folder / JSON_FILE).is_file() else None
    declared = _declared_tokens(folder, config, stored)
    flags, notes = _flags(folder, config, stored, is_generic)
    settings = declared.settings
    _check_values(config, settings, folder / CONFIG_FILE)
    vocabulary = _read_tokens(folder, vocabulary_path, stored, declared, settings)
    if vocabulary is None:
        return None
    vocabulary.check()
    flags.setdefault("lowercase", is_lowercase(set(vocabulary) - set(settings.special_tokens)))
    if settings.mask_token not in vocabulary:
        notes += (f"{vocabulary.source}: no token {settings.mask_token}; only pretrain and --augment mask need it",)
    vocabulary.notes += notes
    return vocabulary.with_settings(dataclasses.replace(settings, **flags))


def _read(path: Path) -> dict[str, Any]:
    """Read the object in a file; empty if the file does not exist."""
    return read_json_object(path) if path.is_file() else {}


def _flags(
    folder: Path, config: Mapping[str, Any], stored: TokenizerJson | None, is_generic: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the files say about case, accents and CJK, with notes for the user; null counts as not said."""
    flags = {name: read_flag(config, key, folder / CONFIG_FILE) for key, name in _FLAGS.items()}
    found = {CONFIG_FILE: flags, JSON_FILE: stored.flags if stored is not None else {}}
    order = (JSON_FILE, CONFIG_FILE) if is_generic else (CONFIG_FILE, JSON_FILE)
    merged: dict[str, Any] = {}
    notes = []
    for name in _FLAGS.values():
        said = {file: value for file in order if (value := found[file].get(name)) is not None}
        if said:
            merged[name] = next(iter(said.values()))
        if len(set(said.values())) > 1:
            notes.append(
                f"{folder / order[1]}: {name} is {shown(said[order[1]])}, but {order[0]} says {shown(merged[name])}, "
                "which counts"
            )
    return merged, tuple(notes)


def _check_class(folder: Path, config: Mapping[str, Any]) -> bool:
    """Return whether the class of the tokenizer leaves its settings to tokenizer.json; refuse unsupported classes."""
    path = folder / CONFIG_FILE
    name = config.get("tokenizer_class")
    if name is None:
        path = folder / "config.json"
        name = _read(path).get("tokenizer_class")
    base = name.removesuffix("Fast") if isinstance(name, str) else name
    if base not in (None, *_BERT_CLASSES, *_GENERIC_CLASSES):
        raise UserError(f'{path}: "tokenizer_class" is {shown(name)}. {_REFUSAL}')
    if config.get("auto_map"):
        raise UserError(f'{folder / CONFIG_FILE}: "auto_map" names a tokenizer with code of its own. {_REFUSAL}')
    return base in _GENERIC_CLASSES


def _check_values(config: Mapping[str, Any], settings: TokenizerSettings, path: Path) -> None:
    for key, expected in _BERT_VALUES.items():
        if config.get(key) not in (None, expected):
            raise UserError(f'{path}: "{key}" is {shown(config[key])}. Expected {shown(expected)}. {_REFUSAL}')
    never_split = config.get("never_split") or []
    if not isinstance(never_split, list) or any(token not in settings.special_tokens for token in never_split):
        raise UserError(f'{path}: "never_split" names tokens that are not special, which is not supported. {_REFUSAL}')


def _declared_tokens(folder: Path, config: Mapping[str, Any], stored: TokenizerJson | None) -> DeclaredTokens:
    declared = DeclaredTokens()
    path = folder / CONFIG_FILE
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict) or not all(key.isdecimal() and len(key) < 10 for key in decoder):
        raise UserError(f'{path}: "added_tokens_decoder" is no object from ids to tokens. Download it again.')
    declared.add_numbered([(int(key), value) for key, value in decoder.items()], path)
    if stored is not None:
        path = folder / JSON_FILE
        declared.add_numbered([(_id(value, path), value) for value in stored.added_tokens], path)
        for role, token in stored.special_tokens.items():
            declared.name(role, token, path)
    for name in (CONFIG_FILE, SPECIAL_TOKENS_FILE):
        declared.add_special(_read(folder / name), folder / name)
    path = folder / ADDED_TOKENS_FILE
    declared.add_numbered([(index, token) for token, index in _read(path).items()], path)
    return declared


def _id(value: Any, path: Path) -> Any:
    if not isinstance(value, dict):
        raise UserError(f'{path}: "added_tokens" holds {shown(value)}. Expected objects; download it again.')
    return value.get("id")


def _read_tokens(
    folder: Path,
    vocabulary_path: Path | None,
    stored: TokenizerJson | None,
    declared: DeclaredTokens,
    settings: TokenizerSettings,
) -> Vocabulary | None:
    of_json = None
    if stored is not None:
        source = str(folder / JSON_FILE)
        of_json = Vocabulary(declared.append_to(stored.tokens, source), settings, source)
    path = vocabulary_path or folder / VOCABULARY_FILE
    if vocabulary_path is None and not path.is_file():
        return of_json
    lines = read_vocabulary(path)
    vocabulary = Vocabulary(declared.append_to(lines, str(path)), settings, str(path), lines.notes)
    if vocabulary_path is None and of_json is not None:
        _refuse_difference(vocabulary, of_json)
    return vocabulary


def _refuse_difference(vocabulary: Vocabulary, of_json: Vocabulary) -> None:
    """Refuse two different vocabularies in one folder, since either could be the checkpoint's."""
    # Some programs keep white space at the end of a token. No text contains such a token.
    one, other = ({token.rstrip(): index for token, index in each.ids.items()} for each in (vocabulary, of_json))
    if differing := sorted(set(one.items()) ^ set(other.items()), key=lambda item: item[1]):
        token, index = differing[0]
        raise UserError(
            f"{vocabulary.source} and {of_json.source}: two different vocabularies (id {index}, {shown(token)}). "
            "Expected that of the checkpoint in both; delete the wrong file, or give the right one as VOCAB_PATH."
        )
