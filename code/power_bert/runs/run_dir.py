"""The directory of one run; no other module builds its paths.

<run>/config.json  environment.json  log.txt  metrics.csv  tensorboard/
<run>/timings.json  summary.txt  report.html  pictures/ (once the run is finished)  peers.csv (from `benchmark`)
<run>/1_fine_tune/  2_search/  3_retrain/
    model/ (keras-hub preset)  predictions_dev.tsv  predictions_test.tsv  metrics.json  DONE
    training_state.npz (until the phase is done)
1_fine_tune also: training_targets.npy, what its model says of the training examples (until 3_retrain is done)
2_search also: retention.json (3_retrain where it was given, and there is no 2_search then)
2_search with a target: stage_1/ and so on, like phases, with retention.json, and sliced/ until they are trained;
    latency.json (SPEEDUP_BY=latency), frontier.csv (MAX_LOSS)
A phase whose model eliminates also: predictions_dev_nothing_eliminated.tsv, differences.json
baseline/, where it was asked for, is a phase like the three
A distilled run has 4_distill in place of the three.
1_fine_tune and 3_retrain of an MNLI run also have predictions_test_<task>.tsv, of the other MNLI test set and of AX.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.folders import BASELINE as BASELINE
from power_bert.folders import DISTILL as DISTILL
from power_bert.folders import DONE, MODEL_FOLDER
from power_bert.folders import PHASES as PHASES
from power_bert.storage.files import atomic_write_text
from power_bert_runtime.parsing import parse_json

# Names the dev predictions of a model with its elimination switched off.
NOTHING_ELIMINATED = "dev_nothing_eliminated"


def read_run_json(path: Path) -> Any:
    """Parse a JSON file; a UserError names it if it is missing or damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is this the folder of a finished run?") from None
    return parse_json(data, path, advice="The file is damaged; delete its folder to have it made again")


def write_run_json(path: Path, value: Any) -> None:
    """Write a value as JSON; a number that is not finite, such as an undefined score, becomes null."""
    atomic_write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """Replace every number that JSON cannot represent by None."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class PhaseDir:
    """Paths of one phase."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / MODEL_FOLDER

    def existing_model(self) -> Path:
        """Return the path `model`; a UserError if the phase is done but its model has been deleted."""
        if not (self.model / "config.json").is_file():
            raise UserError(f"{self.model}: no model there; delete {self.path} to have this phase run again")
        return self.model

    @property
    def training_state(self) -> Path:
        return self.path / "training_state.npz"

    @property
    def targets(self) -> Path:
        return self.path / "training_targets.npy"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def retention(self) -> Path:
        return self.path / "retention.json"

    @property
    def latency(self) -> Path:
        return self.path / "latency.json"

    @property
    def frontier(self) -> Path:
        return self.path / "frontier.csv"

    def stage(self, number: int) -> PhaseDir:
        """Return the directory of a stage of a search with a target; numbers count from 1."""
        return PhaseDir(self.path / f"stage_{number}")

    @property
    def sliced(self) -> PhaseDir:
        """The model that the training of a stage starts from."""
        return PhaseDir(self.path / "sliced")

    def predictions(self, split: str) -> Path:
        return self.path / f"predictions_{split}.tsv"

    @property
    def differences(self) -> Path:
        """Score differences due to elimination, with their intervals."""
        return self.path / "differences.json"

    @property
    def is_done(self) -> bool:
        return (self.path / DONE).exists()

    def mark_done(self) -> None:
        atomic_write_text(self.path / DONE, "")


@dataclass(frozen=True)
class RunDir:
    """Paths of one run.

    Attributes:
        path: Folder of the run.
        data_dir: Data directory that replaces the one in its settings; None keeps that one.
    """

    path: Path
    data_dir: str | None = None

    @property
    def holds_run(self) -> bool:
        """Whether the folder belongs to a run that has begun a phase, and not to a checkpoint or anything else."""
        return self.config.is_file() and any(self.phase(name).path.is_dir() for name in (*PHASES, DISTILL))

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def metrics_csv(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def timings(self) -> Path:
        return self.path / "timings.json"

    @property
    def peers(self) -> Path:
        return self.path / "peers.csv"

    @property
    def summary(self) -> Path:
        return self.path / "summary.txt"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def retention(self) -> Path:
        """The retention configuration of phase 3: the given one (RETENTION_CONFIG), or the one the search found."""
        given = self.phase("3_retrain").retention
        return given if given.exists() else self.phase("2_search").retention

    def phase(self, name: str) -> PhaseDir:
        """Return the directory of a phase; `name` is one of PHASES, BASELINE or DISTILL."""
        return PhaseDir(self.path / name)
