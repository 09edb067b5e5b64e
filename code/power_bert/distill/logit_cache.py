"""Teachers' logits on disk: computed once for a teacher and a set of texts, in shards, so that a kill loses little.

<cache>/<teacher>-<texts>/meta.json  00000.npy  00001.npy …

The folder's name has the beginnings of two sha256, meta.json has them whole: of the teacher (weights, config,
tokenizer, maximum length, labels) and of the texts in their order.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from rich.console import Console

from power_bert.distill.teachers import Teacher
from power_bert.errors import UserError
from power_bert.files import atomic_write_bytes
from power_bert.run_dir import read_json, write_json
from power_bert.text.examples import Examples
from power_bert.train.rows_progress import rows_progress

SHARD_ROWS = 2048
_NAME_LENGTH = 16


def texts_fingerprint(examples: Examples) -> str:
    """Sha256 of the texts, whose order and limits count, too."""
    digest = hashlib.sha256(b"single" if examples.second is None else b"pair")
    for texts in (examples.first, examples.second or ()):
        for text in texts:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class LogitCache:
    """Logits of teachers.

    Args:
        folder: where they lie, usually `checkpoints/teacher_logits`.
        console: where to show progress.

    Attributes:
        computed_examples: on how many examples a teacher has run since this object was made.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder, self._console = folder, console
        self.computed_examples = 0

    def logits(self, teacher: Teacher, examples: Examples, what: str) -> np.ndarray:
        """Logits or scores, float32 (examples, outputs); only shards that are missing are computed.

        Args:
            teacher: who is asked.
            examples: the texts.
            what: what they are, for the progress display.

        Raises:
            UserError: the cache is stale or damaged, or the teacher cannot predict the texts.
        """
        folder = self._prepare(teacher, examples)
        parts = []
        with rows_progress(self._console, f"teacher {teacher.name} on {what}") as advance:
            for number, start in enumerate(range(0, len(examples), SHARD_ROWS)):
                rows = np.arange(start, min(start + SHARD_ROWS, len(examples)))
                path = folder / f"{number:05d}.npy"
                if not path.exists():
                    self._compute(teacher, examples.take(rows), path)
                    advance(len(rows))
                parts.append(_read_shard(path, (len(rows), teacher.task.num_outputs)))
        return np.concatenate(parts)

    def _prepare(self, teacher: Teacher, examples: Examples) -> Path:
        texts = texts_fingerprint(examples)
        folder = self.folder / f"{teacher.fingerprint[:_NAME_LENGTH]}-{texts[:_NAME_LENGTH]}"
        expected = {
            "teacher_sha256": teacher.fingerprint,
            "texts_sha256": texts,
            "examples": len(examples),
            "outputs": teacher.task.num_outputs,
            "shard_rows": SHARD_ROWS,
        }
        meta = folder / "meta.json"
        if not meta.exists():
            if folder.exists() and any(folder.glob("*.npy")):
                raise UserError(f"{folder}: logits without a meta.json; delete the folder, and they are computed anew")
            write_json(meta, {**expected, "teacher": teacher.name})
            return folder
        found = read_json(meta)
        if not isinstance(found, dict) or {name: found.get(name) for name in expected} != expected:
            raise UserError(
                f"{folder}: stale: holds logits of another teacher or of other texts; delete the folder, and they are "
                "computed anew"
            )
        return folder

    def _compute(self, teacher: Teacher, examples: Examples, path: Path) -> None:
        outputs = teacher.model.outputs(examples).astype(np.float32)
        if not np.isfinite(outputs).all():
            raise UserError(f"teacher {teacher.name}: its outputs are not finite; it cannot teach")
        buffer = io.BytesIO()
        np.save(buffer, outputs)
        atomic_write_bytes(path, buffer.getvalue())
        self.computed_examples += len(examples)


def _read_shard(path: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        shard = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it, and it is computed anew") from None
    if shard.shape != shape:
        raise UserError(f"{path}: {shard.shape} values, expected {shape}; delete it, and it is computed anew")
    return np.asarray(shard, np.float32)
