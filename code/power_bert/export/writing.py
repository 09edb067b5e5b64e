"""Writer of exported files: it writes all or none, and reads each back before moving it into place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from power_bert.errors import UserError
from power_bert.export.model_file import ModelFile
from power_bert.export.stored_model import parse_stored_model
from power_bert.storage.files import atomic_file
from power_bert_runtime.contents import SETTINGS_FILE
from power_bert_runtime.stored_settings import parse_settings


def write_files(files: Mapping[Path, ModelFile]) -> None:
    """Write all files, or none and leave older ones untouched.

    Args:
        files: Path → content. The first file is moved into place last, so if it exists, all do.

    Raises:
        UserError: A file cannot be written, or reading it back gives something else.
    """
    try:
        with ExitStack() as stack:
            for target, content in files.items():
                written = stack.enter_context(atomic_file(target))
                written.write(content.to_bytes())
                written.flush()
                os.fsync(written.fileno())
                _check(Path(written.name).read_bytes(), target, content)
    except OSError as error:
        targets = ", ".join(map(str, files))
        raise UserError(f"{targets} cannot be written ({error.strerror or error}); change --out") from None


def _check(written: bytes, target: Path, content: ModelFile) -> None:
    """Read a file as `inspect` does and compare it with its intended content."""
    advice = "Nothing was left there; check the disk, or change --out"
    try:
        stored = parse_stored_model(written, target)
    except UserError as error:
        raise UserError(f"the written file cannot be read back: {error}. {advice}") from error
    settings = parse_settings(content.files[SETTINGS_FILE], SETTINGS_FILE, advice)
    same = {
        "the model": written[: stored.model_bytes] == content.model,
        "the files inside": stored.files == content.files,
        "the settings": stored.settings == settings,
    }
    if wrong := [name for name, is_same in same.items() if not is_same]:
        raise UserError(f"{target}: the written file is not read back as it was put in: {', '.join(wrong)}. {advice}")
