"""Shards of a prepared corpus on disk: `.npy` files of records, each with its checksum.

<corpus>/plan.json  vocab.txt  manifest.json (written last: without it the corpus is not complete)
<corpus>/train/<input>-<block>.npy  <input>-<block>.json      <corpus>/test/…
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.corpus.document_split import SIDES, Side
from power_bert.errors import UserError
from power_bert.storage.disk_errors import disk_errors_explained
from power_bert.storage.files import atomic_write_bytes, atomic_write_text, file_sha256
from power_bert.storage.json_form import check_form
from power_bert_runtime.parsing import parse_json, parsing


@dataclass(frozen=True)
class Shard:
    """Entry of a shard in the manifest.

    Attributes:
        name: Path in the corpus without ending, such as "train/000000-00000".
        documents: Number of documents.
        records: Number of records.
        tokens: Number of tokens that are not padding.
        unknown: Number of tokens that are [UNK].
        sha256: Hash of the file.
        text_digest: Hash of the documents.
    """

    name: str
    documents: int
    records: int
    tokens: int
    unknown: int
    sha256: str
    text_digest: str

    @classmethod
    def from_json(cls, values: Any, source: Path) -> Shard:
        """Read a shard from the object that `dataclasses.asdict` made.

        Raises:
            UserError: A value is missing or has the wrong type; the message names the source.
        """
        check_form(values, SHARD_FORM, source, "prepare the corpus anew")
        return cls(**{name: values[name] for name in SHARD_FORM})

    @property
    def side(self) -> Side:
        return "test" if self.name.startswith("test/") else "train"


SHARD_FORM = {
    "name": str,
    **dict.fromkeys(("documents", "records", "tokens", "unknown"), int),
    "sha256": str,
    "text_digest": str,
}


def shard_path(folder: Path, name: str) -> Path:
    """Return the path of a shard's file."""
    return folder / f"{name}.npy"


def _note_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def write_shard(folder: Path, shard: Shard, records: np.ndarray) -> Shard:
    """Write a shard, then the note that marks it as complete.

    Args:
        folder: Corpus folder.
        shard: Entry of the shard; its sha256 is filled in.
        records: Token ids, (records, length).

    Returns:
        The entry with its sha256.
    """
    file = io.BytesIO()
    np.save(file, records)
    shard = dataclasses.replace(shard, sha256=hashlib.sha256(file.getbuffer()).hexdigest())
    with disk_errors_explained(folder):
        atomic_write_bytes(shard_path(folder, shard.name), file.getvalue())
        atomic_write_text(_note_path(folder, shard.name), json.dumps(dataclasses.asdict(shard)) + "\n")
    return shard


def finished_shard(folder: Path, name: str, text_digest: str) -> Shard | None:
    """Return the shard if an earlier call finished it with the same text, else None."""
    path, note = shard_path(folder, name), _note_path(folder, name)
    if not path.is_file() or not note.is_file():
        return None
    try:
        shard = Shard.from_json(parse_json(note.read_bytes(), note), note)
    except UserError:
        return None  # the shard is written again
    is_whole = shard.text_digest == text_digest and shard.name == name and file_sha256(path) == shard.sha256
    return shard if is_whole else None


def remove_other_shards(folder: Path, shards: list[Shard]) -> None:
    """Remove shards that an earlier call made from other text and that the manifest does not name."""
    kept = {path for shard in shards for path in (shard_path(folder, shard.name), _note_path(folder, shard.name))}
    for side in SIDES:
        for path in (folder / side).glob("*"):
            if path not in kept:
                path.unlink()


def read_shard(folder: Path, shard: Shard, length: int) -> np.ndarray:
    """Read the records of a shard, (records, length).

    Raises:
        UserError: The file is missing, or differs from what was written.
    """
    path = shard_path(folder, shard.name)
    remedy = "restore it, or delete it and give the prepare-corpus command again: that makes the missing shard anew"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the shard cannot be read ({error.strerror}); {remedy}") from None
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise UserError(f"{path}: the shard is corrupt, its sha256 is not the one in manifest.json; {remedy}")
    with parsing(path, "a shard", remedy):
        records: Any = np.load(io.BytesIO(data), allow_pickle=False)
    if records.shape != (shard.records, length):
        raise UserError(f"{path}: has shape {records.shape}, manifest.json says {(shard.records, length)}; {remedy}")
    return np.asarray(records)
