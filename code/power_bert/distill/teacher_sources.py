"""Fingerprints of the sources of a distillation run, so that a resumed run detects a changed source."""

from __future__ import annotations

from pathlib import Path

from power_bert.config.distillation import Distillation
from power_bert.distill.teachers import files_fingerprint, find_teacher
from power_bert.errors import UserError
from power_bert.runs.resolve_model import find_stored_phase
from power_bert.runs.run_dir import RunDir
from power_bert.runs.run_documents import read_environment
from power_bert.runs.run_folder import folder_setting

SOURCES = "sources_sha256"


def fingerprint_sources(settings: Distillation) -> dict[str, str]:
    """Map the path of each teacher, of the unlabeled texts, the tokenizer and initial models to its SHA-256.

    A source that is no file or folder on this machine, such as a preset name, is left out: it does not change in place.

    Raises:
        UserError: A teacher exists, but cannot teach this task.
    """
    found = {
        teacher: find_teacher(teacher, settings.task_definition, settings.teacher_max_length).fingerprint
        for teacher in settings.teachers
        if Path(teacher).exists()
    }
    for given in (settings.unlabelled, settings.start, settings.vocabulary, settings.lm_checkpoint):
        # Several settings, and a teacher, often have the same path. It is read only once.
        if given is not None and given not in found and Path(given).exists():
            found[given] = files_fingerprint(Path(given))
    if settings.continued is not None and Path(settings.continued).exists():
        found[settings.continued] = files_fingerprint(find_stored_phase(settings.continued).model)
    return found


def refuse_changed_sources(settings: Distillation, run_dir: RunDir, sources: dict[str, str]) -> None:
    """Raise a UserError if a source has changed since the run in this run directory began."""
    recorded = read_environment(run_dir.environment).get(SOURCES, {})
    for given, digest in sources.items():
        if recorded.get(given, digest) != digest:
            raise UserError(
                f"{given} has changed since the run in {folder_setting(settings)} began; restore it, choose another "
                "--out, or set --no-resume to start anew"
            )
