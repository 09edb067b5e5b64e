"""What the GLUE runs of a folder have come to: one result a task, and GLUE's average."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from power_bert.analysis.document import Document
from power_bert.analysis.timings import Speedups, read_speedups
from power_bert.errors import UserError
from power_bert.model.retention import format_retention
from power_bert.run_dir import PHASES, RunDir
from power_bert.run_documents import read_retention
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Task
from power_bert.train.run_folder import phases_of, read_experiment

_FINE_TUNE, _, _RETRAIN = PHASES


@dataclass(frozen=True)
class GlueResult:
    """One task: its run's figures, or why there are none.

    Attributes:
        task: of GLUE.
        run: its run folder; None where there is none.
        problem: why the figures are missing; "" where they are there.
        fine_tuned: metric → dev score (a fraction) after phase 1; None where it is undefined.
        eliminated: the same after phase 3.
        retention: configuration, as text.
        speedups: what elimination has won; None where it was not measured.
    """

    task: Task
    run: Path | None = None
    problem: str = ""
    fine_tuned: Mapping[str, float | None] = field(default_factory=dict)
    eliminated: Mapping[str, float | None] = field(default_factory=dict)
    retention: str = ""
    speedups: Speedups | None = None

    def score(self, scores: Mapping[str, float | None]) -> float | None:
        """GLUE's score of a task: the mean of its metrics; None where one is undefined or missing."""
        values = [scores.get(name) for name in self.task.metrics]
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None


@dataclass(frozen=True)
class GlueAverage:
    """The mean over the tasks of GLUE that have scores.

    Attributes:
        fine_tuned: mean score (a fraction); None where no task has one.
        eliminated: the same after phase 3.
        num_tasks: tasks in it, MNLI being one.
        missing: names of the tasks that are not in it.
    """

    fine_tuned: float | None
    eliminated: float | None
    num_tasks: int
    missing: tuple[str, ...]


def read_result(run_folder: Path) -> GlueResult:
    """The figures of a run.

    Raises:
        UserError: the folder holds no run of a GLUE task, or one of its files is damaged.
    """
    run_dir = RunDir(run_folder)
    experiment = read_experiment(run_dir)
    if experiment.task not in TASKS:
        raise UserError(f"{run_folder}: a run of {experiment.task}, which is no task of GLUE; leave it out")
    task = TASKS[experiment.task]
    if unfinished := [name for name in phases_of(experiment) if not run_dir.phase(name).is_done]:
        return GlueResult(task, run_folder, f"not finished: {unfinished[0]} is not done")
    fine_tuned, eliminated = (_scores(run_dir, name) for name in (_FINE_TUNE, _RETRAIN))
    retention = format_retention(read_retention(run_dir.retention))
    speedups = read_speedups(run_dir.timings) if run_dir.timings.exists() else None
    return GlueResult(task, run_folder, "", fine_tuned, eliminated, retention, speedups)


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """The run folders among `folders` and, where one is no run itself, directly in it.

    Raises:
        UserError: a folder is no run and holds none.
    """
    runs: list[Path] = []
    for folder in folders:
        found = [folder] if RunDir(folder).holds_run else _runs_in(folder)
        if not found:
            raise UserError(f"{folder}: neither a run nor a folder of runs; expected the OUTPUT_DIR of a run")
        runs += found
    return runs


def glue_folder_results(folder: Path, errors: Mapping[str, str]) -> list[GlueResult]:
    """The results of a folder that `run_glue` has filled.

    Args:
        folder: with a run folder a task.
        errors: name of a task that failed → its error.
    """
    results = {result.task.name: result for result in map(read_result, _runs_in(folder))}
    for name, error in errors.items():
        results[name] = GlueResult(TASKS[name], folder / name, f"failed: {error}")
    return list(results.values())


def complete_results(results: Iterable[GlueResult]) -> list[GlueResult]:
    """One result for every task of GLUE that is trained, in GLUE's order.

    Raises:
        UserError: two of them are of the same task.
    """
    found: dict[str, GlueResult] = {}
    for result in results:
        if result.task.name in found:
            other = found[result.task.name].run
            raise UserError(f"{result.run} and {other} are both runs of {result.task.name}; give one of them")
        found[result.task.name] = result
    trained = [task for task in TASKS.values() if task.can_train]
    return [found.get(task.name) or GlueResult(task, problem="no run") for task in trained]


def average(results: Sequence[GlueResult]) -> GlueAverage:
    """GLUE's average (Wang et al. 2019): a task counts with the mean of its metrics, MNLI's halves as one task."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    missing = []
    for result in results:
        before, after = result.score(result.fine_tuned), result.score(result.eliminated)
        if before is None or after is None:
            missing.append(result.task.name)
        else:
            pairs.setdefault(result.task.family, []).append((before, after))
    means = [tuple(map(statistics.fmean, zip(*scores, strict=True))) for scores in pairs.values()]
    fine_tuned, eliminated = map(statistics.fmean, zip(*means, strict=True)) if means else (None, None)
    return GlueAverage(fine_tuned, eliminated, len(pairs), tuple(missing))


def _runs_in(folder: Path) -> list[Path]:
    return sorted(config.parent for config in folder.glob("*/config.json") if RunDir(config.parent).holds_run)


def _scores(run_dir: RunDir, phase: str) -> dict[str, float | None]:
    scores = Document.read(run_dir.phase(phase).metrics).part("scores")
    return {name: scores.score(name) for name in scores.values}
