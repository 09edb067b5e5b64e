"""Teachers' logits, each computed once; how they lie on disk: `power_bert.distill.cached_logits`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from rich.console import Console

from power_bert.distill.cached_logits import CachedLogits
from power_bert.distill.teachers import Teacher
from power_bert.errors import UserError
from power_bert.locks import one_writer
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
        cached = self._open(teacher, examples)
        if cached.missing():
            # Who waits here for another process finds the shards done.
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
