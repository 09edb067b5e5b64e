"""A run that lies on disk: its experiment and the model that it kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import plain_tokenizer
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.run_dir import BASELINE, DISTILL, PHASES, PhaseDir, RunDir
from power_bert.run_documents import read_preset_retention
from power_bert.settings import TrainingSettings
from power_bert.text.task import Task
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.train.run_folder import read_settings

_FINE_TUNE, _, _RETRAIN = PHASES
# Phases whose model is fit for use, the one to use first; the search leaves a model with soft extraction, for phase 3.
USABLE_PHASES = (_RETRAIN, _FINE_TUNE, BASELINE)


@dataclass(frozen=True)
class StoredPhase:
    """A finished phase of a stored run."""

    run_dir: RunDir
    experiment: TrainingSettings
    phase_dir: PhaseDir

    @property
    def task(self) -> Task:
        return self.experiment.task_definition

    @property
    def retention(self) -> list[int | float] | None:
        """The retention configuration of the phase's model; None where it eliminates nothing."""
        return read_preset_retention(self.phase_dir.existing_model() / "config.json")


@dataclass(frozen=True)
class StoredRun(StoredPhase):
    """One phase of a stored run, with its model in memory."""

    classifier: PowerBertTextClassifier

    @property
    def tokenizer(self) -> WordPieceTokenizer:
        return plain_tokenizer(self.classifier)


def find_stored_phase(run_folder: str | Path, phase: str | None = None) -> StoredPhase:
    """The phase of a run whose model is asked for; nothing but its settings is read.

    Args:
        run_folder: OUTPUT_DIR of the run.
        phase: one of USABLE_PHASES, or DISTILL for a distilled run; None takes the model that the run is for.

    Raises:
        UserError: the folder holds no run, or the phase is not done.
    """
    run_dir = RunDir(Path(run_folder))
    settings = read_settings(run_dir)
    usable = USABLE_PHASES if isinstance(settings, Experiment) else (DISTILL,)
    if phase not in (None, *usable):
        raise UserError(f"phase {phase!r} is unknown: expected one of {', '.join(usable)}")
    wanted = usable if phase is None else (phase,)
    finished = [name for name in wanted if run_dir.phase(name).is_done]
    if not finished:
        raise UserError(f"{run_dir.path}: {' or '.join(wanted)} is not done; give the command of the run again")
    return StoredPhase(run_dir, settings, run_dir.phase(finished[0]))


def load_stored_run(run_folder: str | Path, phase: str | None = None) -> StoredRun:
    """Load the model of a run's phase.

    Args:
        run_folder: OUTPUT_DIR of the run, a distilled run or an ensemble among them.
        phase: as of `find_stored_phase`.

    Raises:
        UserError: the folder holds no run, the phase is not done, or its model is missing or damaged.
    """
    found = find_stored_phase(run_folder, phase)
    classifier = load_own_classifier(found.phase_dir.existing_model())
    return StoredRun(found.run_dir, found.experiment, found.phase_dir, classifier)
