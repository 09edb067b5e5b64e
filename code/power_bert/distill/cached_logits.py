"""Teacher logits on disk: computed once per teacher and set of texts, in shards, so that a killed process loses little.

<cache>/<teacher>-<texts>/meta.json  00000.npy  00001.npy …

The folder name contains the first digits of two SHA-256, and meta.json contains them in full: that of the teacher
(weights, config, tokenizer, max length, labels) and that of the texts in their order. meta.json also contains the
SHA-256 of each shard, which older caches lack.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.errors import UserError
from power_bert.runs.run_dir import read_run_json, write_run_json
from power_bert.storage.files import atomic_write_bytes
from power_bert.storage.json_form import check_form
from power_bert_runtime.parsing import parse_json, parsing

_META = {"teacher_sha256": str, "texts_sha256": str, **dict.fromkeys(("examples", "outputs", "shard_rows"), int)}
# Key in meta.json: file name of each shard → SHA-256.
_SHARDS = "shards_sha256"
_REMEDY = "Delete the folder to recompute them"
_REMEDY_SHARD = "Delete it to recompute it"


class CachedLogits:
    """Cached logits of one teacher for one set of texts.

    Args:
        folder: Folder of the cache; it need not exist yet.
        expected: Expected values of meta.json for teacher and texts.
        teacher: Name of the teacher, recorded for human readers.

    Raises:
        UserError: The folder holds other logits, or its meta.json is damaged.
    """

    def __init__(self, folder: Path, expected: dict[str, Any], teacher: str) -> None:
        self.folder, self._meta_path = folder, folder / "meta.json"
        self.numbers = range(-(-expected["examples"] // expected["shard_rows"]))
        self._size, self._width = expected["examples"], expected["outputs"]
        self._meta: dict[str, Any] = {**expected, "teacher": teacher, _SHARDS: {}}
        if self._meta_path.exists():
            self._meta = read_run_json(self._meta_path)
            if not isinstance(self._meta, dict) or {name: self._meta.get(name) for name in expected} != expected:
                raise UserError(
                    f"{folder}: stale: holds logits of another teacher or of other texts (by its meta.json). {_REMEDY}"
                )
        elif any(folder.glob("*.npy")):
            raise UserError(f"{folder}: logits without a meta.json. {_REMEDY}")
        # None for an older cache, whose shards are read without a check.
        self._sha256: dict[str, str] | None = self._meta.get(_SHARDS)
        if self._sha256 is not None and not isinstance(self._sha256, dict):
            raise UserError(f"{self._meta_path}: damaged ({_SHARDS} is no JSON object). {_REMEDY}")

    @classmethod
    def stored(cls, folder: Path) -> CachedLogits:
        """Open a cache folder of any teacher; raises a UserError if its meta.json is damaged."""
        meta = folder / "meta.json"
        values = parse_json(meta.read_bytes(), meta, advice=_REMEDY)
        check_form(values, _META, meta, _REMEDY)
        return cls(folder, {name: values[name] for name in _META}, "")

    def rows(self, number: int) -> np.ndarray:
        """Return the indices of the examples in a shard."""
        start = number * self._meta["shard_rows"]
        return np.arange(start, min(start + self._meta["shard_rows"], self._size))

    def missing(self) -> list[int]:
        """List the shards that do not exist, or whose writer was killed before it recorded their SHA-256."""
        return [
            number
            for number in self.numbers
            if not self._path(number).exists()
            or (self._sha256 is not None and self._path(number).name not in self._sha256)
        ]

    def write(self, number: int, outputs: np.ndarray) -> None:
        """Write a shard, float (rows, outputs), then record its SHA-256."""
        buffer = io.BytesIO()
        np.save(buffer, outputs)
        if not self._meta_path.exists():
            write_run_json(self._meta_path, self._meta)
        atomic_write_bytes(self._path(number), buffer.getvalue())
        if self._sha256 is not None:
            self._sha256[self._path(number).name] = hashlib.sha256(buffer.getbuffer()).hexdigest()
            write_run_json(self._meta_path, self._meta)

    def read(self, number: int) -> np.ndarray:
        """Read a shard, float32 (rows, outputs); raises a UserError if it was altered or damaged."""
        path, shape = self._path(number), (len(self.rows(number)), self._width)
        data = path.read_bytes()
        if self._sha256 is not None and hashlib.sha256(data).hexdigest() != self._sha256.get(path.name):
            raise UserError(f"{path}: damaged (its sha256 is not the one in meta.json). {_REMEDY_SHARD}")
        with parsing(path, "a shard of logits", _REMEDY_SHARD):
            shard = np.asarray(np.load(io.BytesIO(data), allow_pickle=False), np.float32)
        if shard.shape != shape or not np.isfinite(shard).all():
            raise UserError(f"{path}: damaged: {shard.shape} values, expected {shape} finite numbers. {_REMEDY_SHARD}")
        return shard

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.npy"
