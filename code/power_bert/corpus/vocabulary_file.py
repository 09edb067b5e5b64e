"""A trained vocabulary on disk: `vocab.txt`, and beside it `vocab.json` with how it was trained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.errors import UserError
from power_bert.storage.files import atomic_write_text, file_sha256
from power_bert_runtime.parsing import parse_json, parsing


@dataclass(frozen=True)
class VocabularyOrigin:
    """Origin of a vocabulary.

    Attributes:
        lowercase: Whether texts were lower-cased.
        rules: Rules for where documents ended.
        split: Split whose test documents were not used.
    """

    lowercase: bool
    rules: DocumentRules
    split: DocumentSplit


def _origin_path(vocabulary_path: Path) -> Path:
    return vocabulary_path.with_suffix(".json")


def write_vocabulary(path: Path, tokens: Sequence[str], origin: VocabularyOrigin) -> None:
    """Write both files; the vocabulary comes last."""
    text = "\n".join(tokens) + "\n"
    values = dataclasses.asdict(origin) | {"vocabulary_sha256": hashlib.sha256(text.encode()).hexdigest()}
    try:
        atomic_write_text(_origin_path(path), json.dumps(values, indent=2) + "\n")
        atomic_write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from None


def read_origin(path: Path) -> VocabularyOrigin | None:
    """Read how a vocabulary was trained; None if it has no such file, or that of another vocabulary.

    Raises:
        UserError: The file beside the vocabulary is damaged.
    """
    origin_path = _origin_path(path)
    if not origin_path.is_file():
        return None
    advice = f"Without it nothing is known of the test documents of {path.name}: restore it, or delete it to go on"
    values = parse_json(origin_path.read_bytes(), origin_path, advice=advice)
    if not isinstance(values, dict) or values.pop("vocabulary_sha256", None) != file_sha256(path):
        return None
    with parsing(origin_path, "the origin of a vocabulary", advice):
        return VocabularyOrigin(
            bool(values["lowercase"]), DocumentRules(**values["rules"]), DocumentSplit(**values["split"])
        )


def check_same_test_split(
    path: Path, origin: VocabularyOrigin | None, rules: DocumentRules, split: DocumentSplit
) -> None:
    """Raise a `UserError` if a vocabulary was trained on documents that would now be test documents."""
    if origin is None:
        return
    then = (origin.rules, origin.split.seed, origin.split.test_share)
    if then != (rules, split.seed, split.test_share):
        raise UserError(
            f"{path}: was trained with --seed {origin.split.seed} --test-share {origin.split.test_share} "
            f"--document-separator {origin.rules.separator} --max-document-characters {origin.rules.max_characters}; "
            "with other values it has seen test documents. Give the same values, or train another vocabulary"
        )
