"""Paths in the folder of a study; no other module builds them.

<study>/study.json  vocab.txt  corpus/  results.csv  curves.csv  summary.txt  study.png
<study>/cells/<cell>/pretraining/  untrained/model/  <task>/  <task>_untrained/  error.txt
With seeds of fine-tuning: untrained_seed-<n>/model/  <task>_seed-<n>/  <task>_untrained_seed-<n>/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.experiments.similarity_study.study_definition import FineTuningRun, seed_ending
from power_bert.pretrain.pretraining_folder import PretrainingDir
from power_bert.runs.run_dir import RunDir


@dataclass(frozen=True)
class CellDir:
    """Paths of one cell."""

    path: Path

    @property
    def pretraining(self) -> PretrainingDir:
        return PretrainingDir(self.path / "pretraining")

    def untrained_model(self, seed: int | None) -> Path:
        """Return the folder of the encoder with random weights from a seed; None is the seed of the cell."""
        return self.path / f"untrained{seed_ending(seed)}" / "model"

    def fine_tuning(self, run: FineTuningRun) -> RunDir:
        """Return the run directory of a fine-tuning."""
        return RunDir(self.path / run.name)

    @property
    def error(self) -> Path:
        return self.path / "error.txt"


@dataclass(frozen=True)
class StudyDir:
    """Paths of one study."""

    path: Path

    @property
    def definition(self) -> Path:
        return self.path / "study.json"

    @property
    def vocabulary(self) -> Path:
        return self.path / "vocab.txt"

    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    def cell(self, name: str) -> CellDir:
        return CellDir(self.path / "cells" / name)

    @property
    def results_csv(self) -> Path:
        return self.path / "results.csv"

    @property
    def curves_csv(self) -> Path:
        return self.path / "curves.csv"

    @property
    def summary(self) -> Path:
        return self.path / "summary.txt"

    @property
    def picture(self) -> Path:
        return self.path / "study.png"
