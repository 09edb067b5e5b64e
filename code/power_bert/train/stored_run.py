"""A run that lies on disk: its experiment and the model that it kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import plain_tokenizer
from power_bert.run_dir import PHASES, PhaseDir, RunDir
from power_bert.text.task import Task
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.train.run_folder import read_experiment

_FINE_TUNE, _, _RETRAIN = PHASES
# Phases whose model is fit for use, the best one first; the search leaves a model with soft extraction, for phase 3.
USABLE_PHASES = (_RETRAIN, _FINE_TUNE)


@dataclass(frozen=True)
class StoredRun:
    """One phase of a stored run, with its model in memory."""

    run_dir: RunDir
    experiment: Experiment
    phase_dir: PhaseDir
    classifier: PowerBertTextClassifier

    @property
    def task(self) -> Task:
        return self.experiment.task_definition

    @property
    def tokenizer(self) -> WordPieceTokenizer:
        return plain_tokenizer(self.classifier)


def load_stored_run(run_folder: str | Path, phase: str | None = None) -> StoredRun:
    """Load the model of a run's phase.

    Args:
        run_folder: OUTPUT_DIR of the run.
        phase: one of USABLE_PHASES; None takes the last of them that is done.

    Raises:
        UserError: the folder holds no run, the phase is not done, or its model is missing or damaged.
    """
    run_dir = RunDir(Path(run_folder))
    experiment = read_experiment(run_dir)
    if phase not in (None, *USABLE_PHASES):
        raise UserError(f"phase {phase!r} is unknown: expected one of {', '.join(USABLE_PHASES)}")
    wanted = USABLE_PHASES if phase is None else (phase,)
    finished = [name for name in wanted if run_dir.phase(name).is_done]
    if not finished:
        raise UserError(f"{run_dir.path}: {' or '.join(wanted)} is not done; give the command of the run again")
    phase_dir = run_dir.phase(finished[0])
    classifier = PowerBertTextClassifier.from_preset(str(phase_dir.existing_model()))
    return StoredRun(run_dir, experiment, phase_dir, classifier)
