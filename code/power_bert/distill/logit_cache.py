"""Cache of teacher logits, each computed once. `power_bert.distill.cached_logits` describes the files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from rich.console import Console

from power_bert.distill.cached_logits import CachedLogits
from power_bert.distill.teachers import Teacher
from power_bert.errors import UserError
from power_bert.predict.rows_progress import rows_progress
from power_bert.storage.locks import one_writer
from power_bert.text.examples import Examples

SHARD_ROWS = 2048
_NAME_LENGTH = 16


def texts_fingerprint(examples: Examples) -> str:
    """Compute the SHA-256 of the texts, their order and their boundaries."""
    digest = hashlib.sha256(b"single" if examples.second is None else b"pair")
    for texts in (examples.first, examples.second or ()):
        for text in texts:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class LogitCache:
    """Cache of the logits of all teachers.

    Args:
        folder: Folder of the cache, usually `checkpoints/teacher_logits`.
        console: Console for progress.

    Attributes:
        computed_examples: Number of examples on which a teacher has run since this object was made.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder, self._console = folder, console
        self.computed_examples = 0

    def logits(self, teacher: Teacher, examples: Examples, what: str) -> np.ndarray:
        """Return logits or scores, float32 (examples, outputs); only missing shards are computed.

        Args:
            teacher: Teacher that labels the texts.
            examples: Texts to label.
            what: Description of the texts, for the progress display.

        Raises:
            UserError: The cache is stale or damaged, or the teacher cannot predict the texts.
        """
        cached = self._open(teacher, examples)
        if cached.missing():
            # A call that has waited here for another process finds the shards done.
            with (
                one_writer(cached.folder, wait=True),
                rows_progress(self._console, f"teacher {teacher.name} on {what}") as advance,
            ):
                cached = self._open(teacher, examples)
                for number in cached.missing():
                    part = examples.take(cached.rows(number))
                    cached.write(number, _outputs(teacher, part))
                    self.computed_examples += len(part)
                    advance(len(part))
        return np.concatenate([cached.read(number) for number in cached.numbers])

    def _open(self, teacher: Teacher, examples: Examples) -> CachedLogits:
        texts = texts_fingerprint(examples)
        folder = self.folder / f"{teacher.fingerprint[:_NAME_LENGTH]}-{texts[:_NAME_LENGTH]}"
        expected = {
            "teacher_sha256": teacher.fingerprint,
            "texts_sha256": texts,
            "examples": len(examples),
            "outputs": teacher.task.num_outputs,
            "shard_rows": SHARD_ROWS,
        }
        return CachedLogits(folder, expected, teacher.name)


def _outputs(teacher: Teacher, examples: Examples) -> np.ndarray:
    outputs = teacher.model.outputs(examples).astype(np.float32)
    if not np.isfinite(outputs).all():
        raise UserError(f"teacher {teacher.name}: its outputs are not finite; it cannot teach")
    return outputs
