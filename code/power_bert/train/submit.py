"""A GLUE submission from stored runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.locks import one_writer
from power_bert.run_dir import DISTILL, PhaseDir, RunDir
from power_bert.settings import TrainingSettings
from power_bert.text.glue_tasks import TASKS
from power_bert.text.prediction_faults import find_prediction_faults
from power_bert.text.submission import MAJORITY, majority_predictions, write_submission
from power_bert.text.task import Task
from power_bert.train.run_folder import PREDICTING_PHASES, missing_predictions, prediction_path, read_settings


@dataclass(frozen=True)
class Submitted:
    """Where the predictions of one task come from: a file of a run, or None for its majority class."""

    task: Task
    path: Path | None

    def line(self) -> str:
        name = f"{self.task.prediction_file:<12}"
        if self.path is not None:
            return f"{name}{self.path}"
        return f"{name}filled with {MAJORITY[self.task.name]} for all {self.task.test_rows} rows: no run predicts it"

    def lines_of_file(self) -> Iterator[bytes]:
        if self.path is None:
            yield from majority_predictions(self.task)
            return
        with open(self.path, "rb") as file:
            yield from file


def submit(run_folders: Sequence[Path], out: Path, phase: str, console: Console) -> list[Submitted]:
    """Write the eleven prediction files of a GLUE submission into a zip.

    Test predictions that a run has not written are made now, if its test data are there. AX and the other half of MNLI
    come from an MNLI run; a task that no run predicts is filled with its majority class.

    Args:
        run_folders: OUTPUT_DIRs of finished runs, at most one a task.
        out: the zip, replaced as a whole.
        phase: whose predictions, one of PREDICTING_PHASES; a distilled run has one phase alone.
        console: for the progress.

    Returns:
        Where each file comes from, in the order of the zip.

    Raises:
        UserError: a run is not finished, of a task outside GLUE or of the same task as another, or its predictions are
            missing or not those of the official test set; no zip is written.
    """
    if phase not in PREDICTING_PHASES:
        raise UserError(f"--phase {phase} is unknown: expected one of {', '.join(PREDICTING_PHASES)}")
    runs = _runs_by_task(run_folders, phase)
    for experiment, phase_dir in runs.values():
        _predict_what_is_missing(experiment, phase_dir, console)
    submitted = [Submitted(task, _find_predictions(task, runs)) for task in TASKS.values()]
    _check(submitted)
    write_submission(out, {entry.task.name: entry.lines_of_file() for entry in submitted})
    return submitted


def _runs_by_task(run_folders: Iterable[Path], phase: str) -> dict[str, tuple[TrainingSettings, PhaseDir]]:
    runs: dict[str, tuple[TrainingSettings, PhaseDir]] = {}
    folders: dict[str, Path] = {}
    for folder in run_folders:
        run_dir = RunDir(folder)
        experiment = read_settings(run_dir)
        own_phase = phase if isinstance(experiment, Experiment) else DISTILL
        if experiment.task not in TASKS:
            raise UserError(f"{folder}: a run of {experiment.task}, which is no task of GLUE; leave it out")
        if experiment.task in runs:
            raise UserError(
                f"{folder} and {folders[experiment.task]} are both runs of {experiment.task}; give one of them"
            )
        if not run_dir.phase(own_phase).is_done:
            raise UserError(
                f"{folder}: {own_phase} is not done; give the command of the run again to finish it, leave the run "
                "out, or choose another --phase"
            )
        runs[experiment.task], folders[experiment.task] = (experiment, run_dir.phase(own_phase)), folder
    return runs


def _predict_what_is_missing(experiment: TrainingSettings, phase_dir: PhaseDir, console: Console) -> None:
    if missing_predictions(experiment, phase_dir):
        from power_bert.quiet import import_backend

        import_backend()
        from power_bert.train.predicting_test_sets import write_missing_predictions

        with one_writer(phase_dir.path.parent):
            write_missing_predictions(experiment, phase_dir, console)
    path = phase_dir.predictions("test")
    if not path.exists():
        raise UserError(
            f"{path}: no such file, and no test data in {experiment.data_dir} to predict; put test.tsv there, or leave "
            f"the run out: {experiment.task} is filled then"
        )


def _find_predictions(task: Task, runs: dict[str, tuple[TrainingSettings, PhaseDir]]) -> Path | None:
    """The task's file from a run of its own, or else from one of its family."""
    own = [run for name, run in runs.items() if name == task.name]
    family = [run for name, run in runs.items() if TASKS[name].family == task.family]
    paths = [prediction_path(phase_dir, experiment.task, task) for experiment, phase_dir in own + family]
    return next((path for path in paths if path.exists()), None)


def _check(submitted: Iterable[Submitted]) -> None:
    """Raise a UserError with the faults of all prediction files, under their own paths."""
    faults = [
        find_prediction_faults(str(entry.path), entry.lines_of_file(), entry.task) for entry in submitted if entry.path
    ]
    listed = [line for found in faults for line in found.lines()]
    if listed:
        raise UserError(
            "no submission is written; these predictions are not those of GLUE's official test set:\n"
            + "\n".join(listed)
        )
