"""Results of the GLUE runs of a folder, one per task, and GLUE's average."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from power_bert.errors import UserError
from power_bert.runs.document import Document
from power_bert.runs.public_data import why_not_public
from power_bert.runs.run_dir import BASELINE, PHASES, PhaseDir, RunDir
from power_bert.runs.run_documents import read_metrics, read_retention
from power_bert.runs.run_folder import phases_of, read_experiment
from power_bert.runs.timings import Speedups, read_speedups
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Task
from power_bert.train.without_elimination import SCORES

_FINE_TUNE, _, _RETRAIN = PHASES


@dataclass(frozen=True)
class GlueResult:
    """Results of one task, or why there are none.

    Attributes:
        task: Task of GLUE.
        run: Run directory; None if there is none.
        problem: Why the results are missing; "" if they are there.
        full: Metric → dev score (a fraction) of the model of phase 3 with nothing eliminated; None if it is undefined,
            empty if it was not scored.
        eliminated: Metric → dev score of the model of phase 3 with elimination.
        baseline: Metric → dev score of a model that was fine-tuned for the same number of epochs; empty if there is
            none.
        fine_tuned: Metric → dev score after phase 1.
        note: Why the scores are not scores on GLUE's data; "" if they are.
        retention: Retention configuration, as text.
        speedups: Measured speed-ups of elimination; None if they were not measured.
    """

    task: Task
    run: Path | None = None
    problem: str = ""
    full: Mapping[str, float | None] = field(default_factory=dict)
    eliminated: Mapping[str, float | None] = field(default_factory=dict)
    baseline: Mapping[str, float | None] = field(default_factory=dict)
    fine_tuned: Mapping[str, float | None] = field(default_factory=dict)
    note: str = ""
    retention: str = ""
    speedups: Speedups | None = None

    def score(self, scores: Mapping[str, float | None]) -> float | None:
        """Return GLUE's score of a task, the mean of its metrics; None if one is undefined or missing."""
        return _mean([scores.get(name) for name in self.task.metrics])


@dataclass(frozen=True)
class GlueAverage:
    """Mean over the GLUE tasks that have scores.

    Attributes:
        full: Mean score (a fraction) with nothing eliminated; None if no task has a score.
        eliminated: Mean score with elimination.
        baseline: Mean score of models that were fine-tuned for the same number of epochs; None if a task has none.
        num_tasks: Number of tasks in the mean; the two MNLI tasks count as one.
        missing: Names of the tasks that are not in the mean.
    """

    full: float | None
    eliminated: float | None
    baseline: float | None
    num_tasks: int
    missing: tuple[str, ...]


def read_result(run_folder: Path) -> GlueResult:
    """Read the results of a run.

    Raises:
        UserError: The folder holds no run of a GLUE task, or one of its files is damaged.
    """
    run_dir = RunDir(run_folder)
    experiment = read_experiment(run_dir)
    if experiment.task not in TASKS:
        raise UserError(f"{run_folder}: a run of {experiment.task}, which is no task of GLUE; leave it out")
    task = TASKS[experiment.task]
    if unfinished := [name for name in phases_of(experiment) if not run_dir.phase(name).is_done]:
        return GlueResult(task, run_folder, f"not finished: {unfinished[0]} is not done")
    retrain, baseline = run_dir.phase(_RETRAIN), run_dir.phase(BASELINE)
    retention = read_retention(run_dir.retention).shown(experiment.fuse)
    speedups = read_speedups(run_dir.timings) if run_dir.timings.exists() else None
    return GlueResult(
        task,
        run_folder,
        full=_scores(retrain, SCORES) if SCORES in read_metrics(retrain.metrics) else {},
        eliminated=_scores(retrain),
        baseline=_scores(baseline) if baseline.is_done else {},
        fine_tuned=_scores(run_dir.phase(_FINE_TUNE)),
        note=why_not_public(task, retrain),
        retention=retention,
        speedups=speedups,
    )


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """Return the run directories among `folders`, and the runs directly inside the other folders.

    Raises:
        UserError: A folder is no run and holds none.
    """
    runs: list[Path] = []
    for folder in folders:
        found = [folder] if RunDir(folder).holds_run else _runs_in(folder)
        if not found:
            raise UserError(f"{folder}: neither a run nor a folder of runs; expected the OUTPUT_DIR of a run")
        runs += found
    return runs


def glue_folder_results(folder: Path, errors: Mapping[str, str]) -> list[GlueResult]:
    """Read the results of a folder that `run_glue` has filled.

    Args:
        folder: Folder with one run directory per task.
        errors: Name of each failed task → its error.
    """
    results = {result.task.name: result for result in map(read_result, _runs_in(folder))}
    for name, error in errors.items():
        results[name] = GlueResult(TASKS[name], folder / name, f"failed: {error}")
    return list(results.values())


def complete_results(results: Iterable[GlueResult]) -> list[GlueResult]:
    """Return one result for every GLUE task that can be trained, in GLUE's order.

    Raises:
        UserError: Two results belong to the same task.
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
    """Compute GLUE's average (Wang et al. 2019) of the mean metric of each task, with the two MNLI tasks as one."""
    families: dict[str, list[GlueResult]] = {}
    missing = []
    for result in results:
        if None in (result.score(result.full), result.score(result.eliminated)):
            missing.append(result.task.name)
        else:
            families.setdefault(result.task.family, []).append(result)
    full, eliminated, baseline = (
        _mean([_mean([result.score(scores(result)) for result in family]) for family in families.values()])
        for scores in (attrgetter("full"), attrgetter("eliminated"), attrgetter("baseline"))
    )
    return GlueAverage(full, eliminated, baseline, len(families), tuple(missing))


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if there are no values, or one of them is None."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _runs_in(folder: Path) -> list[Path]:
    return sorted(config.parent for config in folder.glob("*/config.json") if RunDir(config.parent).holds_run)


def _scores(phase_dir: PhaseDir, entry: str = "scores") -> dict[str, float | None]:
    scores = Document.read(phase_dir.metrics).part(entry)
    return {name: scores.score(name) for name in scores.values}
