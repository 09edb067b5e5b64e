"""Writing exported files: all or none, and each read back before it is moved into place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from power_bert.errors import UserError
from power_bert.export.model_file import SETTINGS_FILE, ModelFile
from power_bert.export.stored_model import parse_stored_model
from power_bert.export.stored_settings import parse_settings
from power_bert.files import atomic_file


def write_files(files: Mapping[Path, ModelFile]) -> None:
    """Write files so that all of them are there, or none is and older ones are untouched.

    Args:
        files: Path → content; the first one is moved into place last: where it is, all are.

    Raises:
        UserError: A file cannot be written, or what was written cannot be read back as it was put in.
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
    """Read a file as `inspect` does and compare it with what was put in."""
    advice = "Nothing was left there; check the disk, or change --out"
    try:
        stored = parse_stored_model(written, target)
    except UserError as error:
        raise UserError(f"what was written cannot be read back: {error}. {advice}") from error
    settings = parse_settings(content.files[SETTINGS_FILE], SETTINGS_FILE, advice)
    same = {
        "the model": written[: stored.model_bytes] == content.model,
        "the files inside": stored.files == content.files,
        "the settings": stored.settings == settings,
    }
    if wrong := [name for name, is_same in same.items() if not is_same]:
        raise UserError(f"{target}: what was written is not read back as it was put in: {', '.join(wrong)}. {advice}")
