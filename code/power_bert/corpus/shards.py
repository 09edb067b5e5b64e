"""A prepared corpus on disk: `.npy` shards of records, each with its checksum, and a manifest.

<corpus>/plan.json  vocab.txt  manifest.json (last: a folder without it is not finished)
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
from power_bert.disk_errors import disk_errors_explained
from power_bert.errors import UserError
from power_bert.files import atomic_write_bytes, atomic_write_text, file_sha256
from power_bert.json_form import check_form
from power_bert.parsing import parse_json, parsing


@dataclass(frozen=True)
class Shard:
    """What the manifest says of a shard.

    Attributes:
        name: "train/000000-00000": its path in the corpus, without ending.
        documents: packed into it.
        records: rows.
        tokens: that are no padding.
        unknown: of them that are [UNK].
        sha256: of the file.
        text_digest: of the documents.
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
        """Read what `dataclasses.asdict` made of a shard.

        Raises:
            UserError: A value is missing or of another type; names the source.
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
    """The file of a shard."""
    return folder / f"{name}.npy"


def _note_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def write_shard(folder: Path, shard: Shard, records: np.ndarray) -> Shard:
    """Writes a shard, then the note that says it is whole.

    Args:
        folder: Of the corpus.
        shard: What to note; its sha256 is filled in.
        records: (records, length).
    """
    file = io.BytesIO()
    np.save(file, records)
    shard = dataclasses.replace(shard, sha256=hashlib.sha256(file.getbuffer()).hexdigest())
    with disk_errors_explained(folder):
        atomic_write_bytes(shard_path(folder, shard.name), file.getvalue())
        atomic_write_text(_note_path(folder, shard.name), json.dumps(dataclasses.asdict(shard)) + "\n")
    return shard


def finished_shard(folder: Path, name: str, text_digest: str) -> Shard | None:
    """The shard, if an earlier call has finished it with the same text."""
    path, note = shard_path(folder, name), _note_path(folder, name)
    if not path.is_file() or not note.is_file():
        return None
    try:
        shard = Shard.from_json(parse_json(note.read_bytes(), note), note)
    except UserError:
        return None  # it is made anew
    is_whole = shard.text_digest == text_digest and shard.name == name and file_sha256(path) == shard.sha256
    return shard if is_whole else None


def remove_other_shards(folder: Path, shards: list[Shard]) -> None:
    """Removes shards of an earlier call that read other text; the manifest does not name them."""
    kept = {path for shard in shards for path in (shard_path(folder, shard.name), _note_path(folder, shard.name))}
    for side in SIDES:
        for path in (folder / side).glob("*"):
            if path not in kept:
                path.unlink()


def read_shard(folder: Path, shard: Shard, length: int) -> np.ndarray:
    """The records of a shard, (records, length).

    Raises:
        UserError: The file is missing, or not what was written.
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
