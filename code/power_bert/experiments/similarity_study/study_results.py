"""Results of the cells of a study."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from power_bert.experiments.similarity_study.study_definition import Cell, FineTuningRun, Study
from power_bert.experiments.similarity_study.study_folder import CellDir, StudyDir
from power_bert.experiments.similarity_study.work import fine_tunings
from power_bert.result_tables import to_frame
from power_bert.runs.document import Document
from power_bert.runs.run_dir import PHASES
from power_bert.text.glue_tasks import get_task

# The values of one figure of a cell: one, or one for each seed of its fine-tunings; None if missing.
Values = Sequence[float | None]
CURVE_FIGURES = ("step", "tokens", "seconds", "tokens_per_second", "train_loss", "test_loss", "masked_accuracy")
REPETITION = "repetition"


@dataclass(frozen=True)
class CellResult:
    """Results of one cell.

    Attributes:
        cell: Cell of the grid.
        parameters: Number of trained parameters; 0 if the pre-training is not done.
        history: Figures of each evaluation, in the order of time.
        fine_tunings: All fine-tunings of the cell, done or not; empty if the pre-training is not done.
        scores: Fine-tuning → dev score by the first metric of the task, a fraction; None where it is undefined.
            Fine-tunings that are not done are missing.
    """

    cell: Cell
    parameters: int = 0
    history: tuple[Mapping[str, float], ...] = ()
    fine_tunings: tuple[FineTuningRun, ...] = ()
    scores: Mapping[FineTuningRun, float | None] = field(default_factory=dict)

    def figure(self, name: str) -> float | None:
        """Return a figure of the last evaluation; None if there was none."""
        return self.history[-1][name] if self.history else None

    @property
    def tokens_per_second(self) -> float | None:
        """Throughput of the whole pre-training without its evaluations."""
        return self.history[-1]["tokens"] / self.history[-1]["seconds"] if self.history else None

    @property
    def fine_tuning_seeds(self) -> list[int | None]:
        """Seeds of the fine-tunings; None is the seed of the cell."""
        return list(dict.fromkeys(run.seed for run in self.fine_tunings))

    def task_scores(self, task: str, untrained: bool = False) -> Values:
        """Return the scores of a task, one for each seed."""
        return [self.scores.get(FineTuningRun(task, untrained, seed)) for seed in self.fine_tuning_seeds]

    def average_scores(self, untrained: bool = False) -> Values:
        """Return the mean over all tasks, one for each seed; None while a task is missing.

        An undefined score (all predictions equal) counts as 0, as in GLUE.
        """
        averages = list[float | None]()
        for seed in self.fine_tuning_seeds:
            wanted = [run for run in self.fine_tunings if (run.untrained, run.seed) == (untrained, seed)]
            is_complete = bool(wanted) and all(run in self.scores for run in wanted)
            averages.append(statistics.fmean(self.scores[run] or 0.0 for run in wanted) if is_complete else None)
        return averages

    def pretraining_gains(self, task: str) -> Values:
        """Return the scores of a task less those from random weights, in percent, one for each seed.

        An undefined score counts as 0, as in GLUE; the gain is None while one of the two is missing.
        """
        gains = list[float | None]()
        for seed in self.fine_tuning_seeds:
            trained, untrained = FineTuningRun(task, False, seed), FineTuningRun(task, True, seed)
            is_complete = {trained, untrained} <= self.scores.keys()
            scores = (self.scores[trained] or 0.0, self.scores[untrained] or 0.0) if is_complete else None
            gains.append(100 * (scores[0] - scores[1]) if scores else None)
        return gains


# The values of one figure of a cell.
Figure = Callable[[CellResult], Values]


def read_results(study: Study, folder: StudyDir) -> list[CellResult]:
    """Read the results of all cells, in the order of the grid; of an unfinished cell, those that exist.

    Raises:
        UserError: A file of a cell is damaged.
    """
    return [_read_cell(study, cell, folder.cell(cell.name)) for cell in study.cells]


def _read_cell(study: Study, cell: Cell, cell_dir: CellDir) -> CellResult:
    if not cell_dir.pretraining.is_done:
        return CellResult(cell)
    metrics = Document.read(cell_dir.pretraining.metrics)
    entries = [Document(metrics.path, entry, "history") for entry in metrics.items("history")]
    history = tuple({name: entry.number(name) for name in (*CURVE_FIGURES, "perplexity")} for entry in entries)
    scores = {}
    for run in fine_tunings(study):
        phase = cell_dir.fine_tuning(run).phase(PHASES[0])
        if phase.is_done:
            scores[run] = Document.read(phase.metrics).part("scores").score(get_task(run.task).metrics[0])
    return CellResult(cell, int(metrics.number("parameters")), history, tuple(fine_tunings(study)), scores)


def settings_of(results: Sequence[CellResult]) -> list[str]:
    """Return the names of the settings that the grid varies, except the seed; there is at least one result."""
    return list(results[0].cell.values_without_seed)


def values_frame(results: Sequence[CellResult], figures: Mapping[str, Figure]) -> pd.DataFrame:
    """Return the values of figures, one row per cell and repetition of its fine-tunings.

    A figure with one value per cell is missing in all repetitions but the first.

    Args:
        results: Results of at least one cell.
        figures: Name → figure.

    Returns:
        A frame with the settings that the grid varies, the number of the repetition, and the figures as columns.
    """
    rows = []
    for result in results:
        repetitions = itertools.zip_longest(*(figure(result) for figure in figures.values()))
        rows += [[*result.cell.values.values(), number, *values] for number, values in enumerate(repetitions)]
    return to_frame(rows, [*results[0].cell.values, REPETITION, *figures])


def curves_frame(results: Sequence[CellResult]) -> pd.DataFrame:
    """Return one row per evaluation of each cell: what the grid varies, and the figures of the evaluation."""
    rows = (
        [*result.cell.values.values(), *(entry[name] for name in CURVE_FIGURES)]
        for result in results
        for entry in result.history
    )
    return to_frame(rows, [*results[0].cell.values, *CURVE_FIGURES])
