"""A GLUE submission from stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.glue.prediction_faults import find_prediction_faults
from power_bert.glue.submission import MAJORITY, majority_predictions, write_submission
from power_bert.runs.resolve_model import StoredPhase, find_stored_phase
from power_bert.runs.run_dir import RunDir
from power_bert.runs.run_folder import PREDICTING_PHASES, missing_predictions, prediction_path, read_settings
from power_bert.storage.locks import one_writer
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Task


@dataclass(frozen=True)
class Submitted:
    """Source of the predictions of one task.

    Attributes:
        task: Task of GLUE.
        path: Prediction file of a run; None for the majority class.
    """

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


def submit(
    run_folders: Sequence[Path],
    out: Path,
    phase: str,
    console: Console,
    find_data: Callable[[Path], str | None] = lambda run_folder: None,
) -> list[Submitted]:
    """Write the eleven prediction files of a GLUE submission into a zip.

    Missing test predictions of a run are made now if its test data exist. AX and the other MNLI test set are predicted
    by an MNLI run. A task that no run predicts is filled with its majority class.

    Args:
        run_folders: Run directories of finished runs, at most one per task.
        out: Path of the zip, which is replaced as a whole.
        phase: Phase whose predictions are used, one of PREDICTING_PHASES; a distilled run has only one phase.
        console: Console for the progress.
        find_data: Returns the data directory of a run directory; None takes the stored one.

    Returns:
        Source of each file, in the order of the zip.

    Raises:
        UserError: A run is not finished, is of a task outside GLUE or of the same task as another run, or its
            predictions are missing or do not match the official test set; no zip is written.
    """
    if phase not in PREDICTING_PHASES:
        raise UserError(f"--phase {phase} is unknown: expected one of {', '.join(PREDICTING_PHASES)}")
    runs = _runs_by_task(run_folders, phase, find_data)
    for stored in runs.values():
        _predict_what_is_missing(stored, console)
    submitted = [Submitted(task, _find_predictions(task, runs)) for task in TASKS.values()]
    _check(submitted)
    write_submission(out, {entry.task.name: entry.lines_of_file() for entry in submitted})
    return submitted


def _runs_by_task(
    run_folders: Iterable[Path], phase: str, find_data: Callable[[Path], str | None]
) -> dict[str, StoredPhase]:
    runs: dict[str, StoredPhase] = {}
    for folder in run_folders:
        settings = read_settings(RunDir(folder))
        if settings.task not in TASKS:
            raise UserError(f"{folder}: a run of {settings.task}, which is no task of GLUE; leave it out")
        if settings.task in runs:
            other = runs[settings.task].run_dir.path
            raise UserError(f"{folder} and {other} are both runs of {settings.task}; give one of them")
        own_phase = phase if isinstance(settings, Experiment) else None
        runs[settings.task] = find_stored_phase(folder, own_phase, find_data(folder))
    return runs


def _predict_what_is_missing(stored: StoredPhase, console: Console) -> None:
    experiment, phase_dir = stored.experiment, stored.phase_dir
    if missing_predictions(experiment, phase_dir):
        from power_bert.quiet import import_backend

        import_backend()
        from power_bert.predict.predicting_test_sets import write_missing_predictions

        with one_writer(stored.run_dir.path):
            write_missing_predictions(experiment, phase_dir, console)
    path = phase_dir.predictions("test")
    if not path.exists():
        raise UserError(
            f"{path}: no such file, and no test data in {experiment.data_dir} to predict; put test.tsv there, give "
            f"--data-dir, or leave the run out: {experiment.task} is filled then"
        )


def _find_predictions(task: Task, runs: dict[str, StoredPhase]) -> Path | None:
    """Return the task's predictions by a run of its own, else by a run of its family."""
    own = [run for name, run in runs.items() if name == task.name]
    family = [run for name, run in runs.items() if TASKS[name].family == task.family]
    paths = [prediction_path(run.phase_dir, run.experiment.task, task) for run in own + family]
    return next((path for path in paths if path.exists()), None)


def _check(submitted: Iterable[Submitted]) -> None:
    """Raise a `UserError` with the faults of all prediction files, under their own paths."""
    faults = [
        find_prediction_faults(str(entry.path), entry.lines_of_file(), entry.task) for entry in submitted if entry.path
    ]
    listed = [line for found in faults for line in found.lines()]
    if listed:
        raise UserError(
            "no submission is written; these predictions are not those of GLUE's official test set:\n"
            + "\n".join(listed)
        )
