"""What a distilled run comes from beside its data; a change of it is noticed when the run goes on."""

from __future__ import annotations

from pathlib import Path

from power_bert.distill.teachers import files_fingerprint, find_teacher
from power_bert.distill_config import Distillation
from power_bert.errors import UserError
from power_bert.run_dir import RunDir
from power_bert.run_documents import read_environment
from power_bert.train.run_folder import folder_setting
from power_bert.train.stored_run import find_stored_phase

SOURCES = "sources_sha256"


def fingerprint_sources(settings: Distillation) -> dict[str, str]:
    """Path of each teacher, of the unlabelled texts, the tokenizer and the models that a run starts from → sha256.

    What is no file or folder of this machine, such as the name of a preset, is left out: it does not change in place.

    Raises:
        UserError: a teacher is there, but cannot teach this task.
    """
    found = {
        teacher: find_teacher(teacher, settings.task_definition, settings.teacher_max_length).fingerprint
        for teacher in settings.teachers
        if Path(teacher).exists()
    }
    for given in (settings.unlabelled, settings.start, settings.vocabulary, settings.lm_checkpoint):
        # One path often stands for several of these, the teacher's among them: it is read once.
        if given is not None and given not in found and Path(given).exists():
            found[given] = files_fingerprint(Path(given))
    if settings.continued is not None and Path(settings.continued).exists():
        found[settings.continued] = files_fingerprint(find_stored_phase(settings.continued).phase_dir.model)
    return found


def refuse_changed_sources(settings: Distillation, run_dir: RunDir, sources: dict[str, str]) -> None:
    """Raises a UserError where a source is not what it was when the run in this folder began."""
    recorded = read_environment(run_dir.environment).get(SOURCES, {})
    for given, digest in sources.items():
        if recorded.get(given, digest) != digest:
            raise UserError(
                f"{given} has changed since the run in {folder_setting(settings)} began; restore it, choose another "
                "--out, or set --no-resume to start anew"
            )
