"""Teachers' logits on disk: computed once for a teacher and a set of texts, in shards, so that a kill loses little.

<cache>/<teacher>-<texts>/meta.json  00000.npy  00001.npy …

The folder's name has the beginnings of two sha256, meta.json has them whole: of the teacher (weights, config,
tokenizer, maximum length, labels) and of the texts in their order. It also has the sha256 of each shard; older caches
have none.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.errors import UserError
from power_bert.files import atomic_write_bytes
from power_bert.json_form import check_form
from power_bert.parsing import parse_json, parsing
from power_bert.run_dir import read_json, write_json

_META = {"teacher_sha256": str, "texts_sha256": str, **dict.fromkeys(("examples", "outputs", "shard_rows"), int)}
# Entry of meta.json: name of each shard → sha256.
_SHARDS = "shards_sha256"
_REMEDY = "Delete the folder, and they are computed anew"
_REMEDY_SHARD = "Delete it, and it is computed anew"


class CachedLogits:
    """The logits of one teacher for one set of texts.

    Args:
        folder: Where they lie; it need not be there yet.
        expected: What meta.json has to say of teacher and texts.
        teacher: Name of the teacher, for people.

    Raises:
        UserError: The folder holds something else, or its meta.json is damaged.
    """

    def __init__(self, folder: Path, expected: dict[str, Any], teacher: str) -> None:
        self.folder, self._meta_path = folder, folder / "meta.json"
        self.numbers = range(-(-expected["examples"] // expected["shard_rows"]))
        self._size, self._width = expected["examples"], expected["outputs"]
        self._meta: dict[str, Any] = {**expected, "teacher": teacher, _SHARDS: {}}
        if self._meta_path.exists():
            self._meta = read_json(self._meta_path)
            if not isinstance(self._meta, dict) or {name: self._meta.get(name) for name in expected} != expected:
                raise UserError(
                    f"{folder}: stale: holds logits of another teacher or of other texts (by its meta.json). {_REMEDY}"
                )
        elif any(folder.glob("*.npy")):
            raise UserError(f"{folder}: logits without a meta.json. {_REMEDY}")
        # None of an older cache, whose shards are taken as they are.
        self._sha256: dict[str, str] | None = self._meta.get(_SHARDS)
        if self._sha256 is not None and not isinstance(self._sha256, dict):
            raise UserError(f"{self._meta_path}: damaged ({_SHARDS} is no JSON object). {_REMEDY}")

    @classmethod
    def stored(cls, folder: Path) -> CachedLogits:
        """What is in a folder, whoever's logits they are; errors as of the constructor."""
        meta = folder / "meta.json"
        values = parse_json(meta.read_bytes(), meta, advice=_REMEDY)
        check_form(values, _META, meta, _REMEDY)
        return cls(folder, {name: values[name] for name in _META}, "")

    def rows(self, number: int) -> np.ndarray:
        """The examples of a shard."""
        start = number * self._meta["shard_rows"]
        return np.arange(start, min(start + self._meta["shard_rows"], self._size))

    def missing(self) -> list[int]:
        """Shards that are not there, or were written by a call that was killed before it could note that."""
        return [
            number
            for number in self.numbers
            if not self._path(number).exists()
            or (self._sha256 is not None and self._path(number).name not in self._sha256)
        ]

    def write(self, number: int, outputs: np.ndarray) -> None:
        """Write a shard, then note its sha256."""
        buffer = io.BytesIO()
        np.save(buffer, outputs)
        if not self._meta_path.exists():
            write_json(self._meta_path, self._meta)
        atomic_write_bytes(self._path(number), buffer.getvalue())
        if self._sha256 is not None:
            self._sha256[self._path(number).name] = hashlib.sha256(buffer.getbuffer()).hexdigest()
            write_json(self._meta_path, self._meta)

    def read(self, number: int) -> np.ndarray:
        """The values of a shard, (rows, outputs); a UserError where they are not what was written."""
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
