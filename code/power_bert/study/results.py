"""What the cells of a study have come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from power_bert.analysis.document import Document
from power_bert.run_dir import PHASES
from power_bert.spread import Spread, spread_of
from power_bert.study.definition import Cell, FineTuningRun, Study
from power_bert.study.folder import CellDir, StudyDir
from power_bert.study.work import fine_tunings
from power_bert.text.glue_tasks import get_task

# A figure of a cell: one value, or one of each seed of its fine-tunings; None where it is missing.
Values = Sequence[float | None]
_FIGURES = (
    "step",
    "tokens",
    "seconds",
    "tokens_per_second",
    "train_loss",
    "test_loss",
    "perplexity",
    "masked_accuracy",
)


@dataclass(frozen=True)
class CellResult:
    """One cell.

    Attributes:
        cell: of the grid.
        parameters: that were trained; 0 where the pre-training is not done.
        history: figures of each evaluation, the last one at the end.
        fine_tunings: all that the cell is to have.
        scores: fine-tuning → dev score by the task's first metric, a fraction; None where it is undefined. What is not
            done is missing.
    """

    cell: Cell
    parameters: int = 0
    history: tuple[Mapping[str, float], ...] = ()
    fine_tunings: tuple[FineTuningRun, ...] = ()
    scores: Mapping[FineTuningRun, float | None] = field(default_factory=dict)

    def figure(self, name: str) -> float | None:
        """A figure of the last evaluation."""
        return self.history[-1][name] if self.history else None

    @property
    def tokens_per_second(self) -> float | None:
        """Of the whole pre-training, evaluations aside."""
        return self.history[-1]["tokens"] / self.history[-1]["seconds"] if self.history else None

    @property
    def fine_tuning_seeds(self) -> list[int | None]:
        """As of `FineTuningRun`."""
        return list(dict.fromkeys(run.seed for run in self.fine_tunings))

    def task_scores(self, task: str, untrained: bool = False) -> Values:
        """The scores of a task, one a seed."""
        return [self.scores.get(FineTuningRun(task, untrained, seed)) for seed in self.fine_tuning_seeds]

    def average_scores(self, untrained: bool = False) -> Values:
        """The means over all tasks, one a seed; None as long as a task is missing.

        An undefined score (all predictions equal) counts 0, as it does in GLUE.
        """
        averages = list[float | None]()
        for seed in self.fine_tuning_seeds:
            wanted = [run for run in self.fine_tunings if (run.untrained, run.seed) == (untrained, seed)]
            is_complete = bool(wanted) and all(run in self.scores for run in wanted)
            averages.append(statistics.fmean(self.scores[run] or 0.0 for run in wanted) if is_complete else None)
        return averages


@dataclass(frozen=True)
class Group:
    """The cells that differ in the seed alone."""

    values: Mapping[str, Any]
    results: tuple[CellResult, ...]

    def spread(self, figure: Callable[[CellResult], Values]) -> Spread | None:
        """Of a figure over the cells and their fine-tunings that have it; None where none has."""
        return spread_of(value for result in self.results for value in figure(result))


def read_results(study: Study, folder: StudyDir) -> list[CellResult]:
    """The results of all cells, in the order of the grid; of an unfinished one, what there is.

    Raises:
        UserError: A file of a cell is damaged.
    """
    return [_read_cell(study, cell, folder.cell(cell.name)) for cell in study.cells]


def _read_cell(study: Study, cell: Cell, cell_dir: CellDir) -> CellResult:
    if not cell_dir.pretraining.is_done:
        return CellResult(cell)
    metrics = Document.read(cell_dir.pretraining.metrics)
    entries = [Document(metrics.path, entry, "history") for entry in metrics.items("history")]
    history = tuple({name: entry.number(name) for name in _FIGURES} for entry in entries)
    scores = {}
    for run in fine_tunings(study):
        phase = cell_dir.fine_tuning(run).phase(PHASES[0])
        if phase.is_done:
            scores[run] = Document.read(phase.metrics).part("scores").score(get_task(run.task).metrics[0])
    return CellResult(cell, int(metrics.number("parameters")), history, tuple(fine_tunings(study)), scores)


def group_by_all_but_seed(results: Sequence[CellResult]) -> list[Group]:
    """Groups in the order of the grid."""
    groups: dict[tuple[Any, ...], list[CellResult]] = {}
    for result in results:
        groups.setdefault(tuple(result.cell.values_without_seed.values()), []).append(result)
    return [Group(members[0].cell.values_without_seed, tuple(members)) for members in groups.values()]
