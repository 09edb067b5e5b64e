"""The tokenizer of a keras-hub preset of a BERT."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.text.json_object import read_json, shown
from power_bert.text.tokenizer_json import read_flag
from power_bert.text.wordpiece_vocabulary import Vocabulary, is_lowercase, read_vocabulary

# Settings of keras_hub.tokenizers.BertTokenizer that change what it does → the value that leaves it BERT's. Its
# strip_accents is no such one: keras-hub has it false also for BERTs that were pretrained without accents.
_BERT_VALUES: Mapping[str, Any] = {"split": True, "suffix_indicator": "##", "oov_token": "[UNK]"}


def read_keras_hub_tokenizer(folder: Path, vocabulary_path: Path | None) -> Vocabulary | None:
    """Reads the tokens with their settings; None where the preset has no tokenizer.

    Args:
        folder: Of the preset.
        vocabulary_path: A `vocab.txt` in place of the preset's own.

    Raises:
        UserError: A file is damaged, or it is no WordPiece tokenizer of BERT.
    """
    path = folder / "tokenizer.json"
    config = read_json(path).get("config") if path.is_file() else {}
    if not isinstance(config, dict):
        raise UserError(f'{path}: no object "config". Expected the tokenizer of a keras-hub preset; download it again.')
    for key, expected in _BERT_VALUES.items():
        if config.get(key, expected) != expected:
            raise UserError(
                f'{path}: "{key}" is {shown(config[key])}. Expected {shown(expected)}: only the WordPiece tokenizer of '
                "BERT can be loaded; give another preset."
            )
    vocabulary_path = vocabulary_path or folder / "assets" / "tokenizer" / "vocabulary.txt"
    if not vocabulary_path.exists() and not config:
        return None
    vocabulary = read_vocabulary(vocabulary_path)
    vocabulary.check()
    lowercase = read_flag(config, "lowercase", path)
    lowercase = is_lowercase(vocabulary) if lowercase is None else lowercase
    return vocabulary.with_settings(dataclasses.replace(vocabulary.settings, lowercase=lowercase))
