"""Readers of what exported files hold beside the model: settings, vocabulary and labels, whatever the format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert_runtime.appended_files import read_appended_files
from power_bert_runtime.contents import SETTINGS_FILE, VOCABULARY_FILE
from power_bert_runtime.errors import UserError
from power_bert_runtime.parsing import parsing
from power_bert_runtime.stored_settings import parse_settings
from power_bert_runtime.tokenizer_settings import TokenizerSettings
from power_bert_runtime.word_pieces import WordPieces

REMEDY = "Copy or export it again: bash run.sh export RUN --out FILE"
_TFLITE_IDENTIFIER = b"TFL3"
# Offsets in a FlatBuffers file cannot point further.
_MOST_BYTES = (2 << 30) - 1
# Stands in a file where its checksum will be, while the checksum is computed.
NO_CHECKSUM = "0" * 64


@dataclass(frozen=True)
class TfliteFile:
    """Parts of a .tflite file.

    Attributes:
        path: Path of the file.
        size_bytes: Size of the whole file.
        model: The model with its metadata.
        files: Name → content of the files inside.
        settings: Settings of this project; empty for a file of another program.
    """

    path: Path
    size_bytes: int
    model: bytes
    files: dict[str, bytes]
    settings: dict[str, Any]


def read_file(path: Path, kind: str) -> bytes:
    """Read a file of at most 2 GiB.

    Args:
        path: Path of the file.
        kind: What it should be, for messages, as in ".tflite file".

    Raises:
        UserError: It is missing, is no file, or is too large.
    """
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path}: not a file; expected a {kind}")
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{path}: over 2 GiB, which no {kind} is. {REMEDY}")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a {kind}") from None


def parse_tflite(content: bytes, path: Path) -> TfliteFile:
    """Parse the content of a .tflite file of this or of another program.

    The model itself is not parsed. For a file of this project, the sha256 of its model is compared.

    Args:
        content: The whole file.
        path: Path of the file, for messages.

    Raises:
        UserError: The content is not a .tflite file or is damaged.
    """
    if content[4:8] != _TFLITE_IDENTIFIER:
        raise UserError(f"{path}: not a .tflite file (it lacks the mark TFL3 at its beginning). {REMEDY}")
    with parsing(path, "a whole .tflite file", REMEDY):
        files, model_bytes = read_appended_files(content)
    model = content[:model_bytes]
    settings = {}
    if SETTINGS_FILE in files:
        settings = parse_settings(files[SETTINGS_FILE], f"{path}, {SETTINGS_FILE}", REMEDY)
    expected = settings.get("model_sha256")
    if expected and hashlib.sha256(model).hexdigest() != expected:
        raise damaged(path, "its weights are not those that were written (sha256)")
    return TfliteFile(path, len(content), model, files, settings)


def settings_inside(files: Mapping[str, bytes], path: Path) -> dict[str, Any]:
    """Return the settings among the files inside an exported file.

    Raises:
        UserError: There are none, they are damaged, or they lack the length that every model needs.
    """
    if missing := [name for name in (SETTINGS_FILE, VOCABULARY_FILE) if name not in files]:
        raise UserError(f"{path}: has no {' and no '.join(missing)} inside, so it is not an export of this project")
    settings = parse_settings(files[SETTINGS_FILE], f"{path}, {SETTINGS_FILE}", REMEDY)
    if settings.get("max_length", 0) < 1:
        raise damaged(path, f"{SETTINGS_FILE} says no max_length of at least 1")
    return settings


def tokenizer_inside(files: Mapping[str, bytes], settings: Mapping[str, Any], path: Path) -> WordPieces:
    """Return the tokenizer of an exported file.

    Args:
        files: Name → content of the files inside.
        settings: Settings of the file.
        path: Path of the file, for messages.

    Raises:
        UserError: The vocabulary is not UTF-8, or lacks a special token.
    """
    source = f"{path}, {VOCABULARY_FILE}"
    with parsing(source, "UTF-8 text", REMEDY):
        tokens = files[VOCABULARY_FILE].decode("utf-8").removesuffix("\n").split("\n")
    names = TokenizerSettings().to_json()
    values = {name: value for name, value in settings.items() if name in names}
    return WordPieces(tokens, TokenizerSettings.from_json(values, str(path)), source)


def checksum_of(content: bytes, written: str = "") -> str:
    """Return the sha256 of a file that holds its own checksum, with `NO_CHECKSUM` in the place of `written`."""
    return hashlib.sha256(content.replace(written.encode(), NO_CHECKSUM.encode()) if written else content).hexdigest()


def damaged(path: Path, what: str) -> UserError:
    """Return an error that names a damaged file and what to do."""
    return UserError(f"{path}: damaged, {what}. {REMEDY}")
