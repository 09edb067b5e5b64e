"""The folder of a study: the only module that makes its paths.

<study>/study.json  vocab.txt  corpus/  results.csv  curves.csv  summary.txt  study.png
<study>/cells/<cell>/pretraining/  untrained/model/  <task>/  <task>_untrained/  error.txt
where the study gives seeds of fine-tuning: untrained_seed-<n>/model/  <task>_seed-<n>/  <task>_untrained_seed-<n>/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.pretrain.folder import PretrainingDir
from power_bert.run_dir import RunDir
from power_bert.study.definition import FineTuningRun, seed_ending


@dataclass(frozen=True)
class CellDir:
    """Paths of one cell."""

    path: Path

    @property
    def pretraining(self) -> PretrainingDir:
        return PretrainingDir(self.path / "pretraining")

    def untrained_model(self, seed: int | None) -> Path:
        """The encoder with random weights from a seed of fine-tuning, or from the cell's."""
        return self.path / f"untrained{seed_ending(seed)}" / "model"

    def fine_tuning(self, run: FineTuningRun) -> RunDir:
        """The run of a task."""
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
