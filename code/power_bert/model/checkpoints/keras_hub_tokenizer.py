"""Read the tokenizer of a keras-hub BERT preset."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.storage.json_object import read_json_object
from power_bert.text.tokenizer_json import read_flag
from power_bert.text.wordpiece_vocabulary import Vocabulary, is_lowercase, read_vocabulary
from power_bert_runtime.parsing import shown

# Settings of keras_hub.tokenizers.BertTokenizer that change its result → BERT's value. strip_accents is left out:
# keras-hub has it false even for BERTs that were pretrained without accents.
_BERT_VALUES: Mapping[str, Any] = {"split": True, "suffix_indicator": "##", "oov_token": "[UNK]"}


def read_keras_hub_tokenizer(folder: Path, vocabulary_path: Path | None) -> Vocabulary | None:
    """Read the vocabulary with its settings; None if the preset has no tokenizer.

    Args:
        folder: Preset folder.
        vocabulary_path: Path of a `vocab.txt` that replaces the preset's own vocabulary.

    Raises:
        UserError: A file is damaged, or the tokenizer is not BERT's WordPiece tokenizer.
    """
    path = folder / "tokenizer.json"
    config = read_json_object(path).get("config") if path.is_file() else {}
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
