"""Find the model that a string (a target) names; all commands use this module.

A target is resolved in this order:

1. The OUTPUT_DIR of a run: its final model, or the model of the phase that is asked for.
2. The folder of one phase, such as ``RUN/1_fine_tune``, also if it was copied without its run.
3. A checkpoint with a head: a preset folder of this project, such as ``RUN/3_retrain/model``, or a Hugging Face folder
   or ``hf://owner/name`` of a sequence classifier.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from power_bert.config.experiment import Experiment
from power_bert.config.validation import TrainingSettings
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.runs.run_dir import BASELINE, DISTILL, PHASES, PhaseDir, RunDir
from power_bert.runs.run_documents import read_preset_retention
from power_bert.runs.run_folder import read_settings
from power_bert.text.task import Task
from power_bert_runtime.contents import is_exported

if TYPE_CHECKING:
    from power_bert.model.classifier import PowerBertTextClassifier

_FINE_TUNE, _, _RETRAIN = PHASES
# Phases whose model can be used, in order of preference. The search is not one: its soft extraction is for phase 3.
USABLE_PHASES = (_RETRAIN, _FINE_TUNE, BASELINE)


@dataclass(frozen=True)
class StoredPhase:
    """A finished phase of a stored run.

    Attributes:
        run_dir: Directory of the run.
        experiment: Settings of the run, with paths as they are now.
        phase_dir: Directory of the phase.
    """

    run_dir: RunDir
    experiment: TrainingSettings
    phase_dir: PhaseDir

    @property
    def task(self) -> Task:
        return self.experiment.task_definition

    @property
    def model(self) -> Path:
        """Preset folder of the phase's model; a UserError if it has been deleted."""
        return self.phase_dir.existing_model()

    def load_classifier(self) -> PowerBertTextClassifier:
        """Load the phase's model; a UserError if it is missing or damaged."""
        from power_bert.model.trained_classifier import load_own_classifier  # it imports Keras

        return load_own_classifier(self.model)

    @property
    def retention(self) -> Retention | None:
        """Retention configuration of the phase's model; None if it eliminates nothing."""
        return read_preset_retention(self.model / "config.json")


def resolve_model(target: str | Path, phase: str | None = None, data_dir: str | None = None) -> StoredPhase | str:
    """Find the model that a target names; only the settings of a run are read, no weights.

    Args:
        target: One of the forms listed at the top of this module.
        phase: Phase of a run: one of USABLE_PHASES, or DISTILL for a distilled run; None takes the final model.
        data_dir: Data directory of the run; None takes the one in its settings.

    Returns:
        The finished phase of a run, or the target itself if it is a checkpoint, for `load_trained_classifier`.

    Raises:
        UserError: The phase is not done, or the target cannot have one; or the target is an exported file.
    """
    if stored := _find_phase(target, phase, data_dir):
        return stored
    place = Path(target).expanduser()
    if is_exported(place):
        raise UserError(
            f"{target}: an exported file; give the run or checkpoint that it was exported from. Commands for exported "
            "files are evaluate, predict, inspect, benchmark-export and web"
        )
    if phase is not None:
        raise UserError(f"{target}: no run there, so it has no phase {phase}; leave --phase out")
    return str(PhaseDir(place).existing_model()) if PhaseDir(place).is_done else str(target)


def find_stored_phase(target: str | Path, phase: str | None = None, data_dir: str | None = None) -> StoredPhase:
    """Find the finished phase of a run that a target names; a checkpoint is an error.

    Args:
        target: The OUTPUT_DIR of a run, or the folder of one of its phases.
        phase: Phase of the run, as for `resolve_model`.
        data_dir: Data directory of the run; None takes the one in its settings.

    Raises:
        UserError: The target is no run, or the phase is not done.
    """
    # If there is no run, reading its settings raises the error that names the missing file.
    return _find_phase(target, phase, data_dir) or finished_phase(RunDir(Path(target), data_dir), phase)


def _find_phase(target: str | Path, phase: str | None, data_dir: str | None) -> StoredPhase | None:
    found = find_run(target)
    if found is None:
        return None
    run_dir, of_folder = found
    if None not in (phase, of_folder) and phase != of_folder:
        raise UserError(f"{target}: the folder of {of_folder}, so it has no phase {phase}; leave --phase out")
    return finished_phase(RunDir(run_dir.path, data_dir), phase or of_folder)


def find_run(target: str | Path) -> tuple[RunDir, str | None] | None:
    """Return the run that a target names, and the phase if the target is a phase folder; None if it names no run."""
    place = Path(target).expanduser()
    if RunDir(place).holds_run:
        return RunDir(place), None
    folder = Path(os.path.abspath(place))
    if folder.name in (*PHASES, BASELINE, DISTILL) and folder.is_dir() and RunDir(folder.parent).holds_run:
        return RunDir(folder.parent), folder.name
    return None


def finished_phase(run_dir: RunDir, phase: str | None = None) -> StoredPhase:
    """Return a finished phase of a run.

    Args:
        run_dir: Directory of the run.
        phase: Phase of the run, as for `resolve_model`.

    Raises:
        UserError: The folder holds no run, or the phase is not done.
    """
    settings = read_settings(run_dir)
    usable = USABLE_PHASES if isinstance(settings, Experiment) else (DISTILL,)
    if phase not in (None, *usable):
        raise UserError(f"{run_dir.path}: phase {phase!r} is unknown: expected one of {', '.join(usable)}")
    wanted = usable if phase is None else (phase,)
    finished = [name for name in wanted if run_dir.phase(name).is_done]
    if not finished:
        other = "" if phase is None else ", take another run, or choose another --phase"
        raise UserError(
            f"{run_dir.path}: {' or '.join(wanted)} is not done; give the command of the run again to finish it{other}"
        )
    return StoredPhase(run_dir, settings, run_dir.phase(finished[0]))
