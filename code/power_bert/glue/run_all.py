"""Run all GLUE tasks of a folder one after another, each in its own process; needs no Keras itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from power_bert.child_processes import explain_failure, run_as_process
from power_bert.errors import UserError
from power_bert.storage.files import atomic_write_text
from power_bert.storage.locks import writes
from power_bert.text.examples import has_split
from power_bert.text.glue_tasks import TASKS, get_task
from power_bert.text.task import Task

# Settings of run.sh that choose one run, or that skip the training.
_NOT_FOR_EACH_TASK = ("TASK", "DATA_DIR", "OUTPUT_DIR", "EVAL_ONLY", "PREDICT_ONLY")
# Runs one task: (arguments of the program, environment) → exit status and the end of what it wrote to stderr.
RunGlueProgram = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]


def choose_tasks(data_dir: Path, names: Sequence[str]) -> list[Task]:
    """Return the tasks to run: those named, or all that have training data in the folder.

    Raises:
        UserError: A name is not a GLUE task or has no training data, or the folder holds no task at all.
    """
    chosen = [get_task(name) for name in names] or [task for task in TASKS.values() if task.can_train]
    for task in chosen:
        if not task.can_train:
            raise UserError(
                f"--tasks: {task.name} has no training data; a run of its family ({task.family}) predicts it"
            )
    found = [task for task in chosen if names or has_split(task, "train", data_dir / task.folder)]
    if not found:
        folders = ", ".join(sorted({task.folder for task in chosen}))
        raise UserError(
            f"{data_dir}: no GLUE task there; expected folders such as {folders} with train.tsv, dev.tsv and test.tsv"
        )
    return found


@writes(lambda data_dir, tasks, out, *_, **__: out)
def run_glue(
    data_dir: Path, tasks: Sequence[Task], out: Path, console: Console, run_program: RunGlueProgram | None = None
) -> dict[str, str]:
    """Run the tasks; a failed task does not stop the others, and a finished one is skipped.

    The settings of run.sh, read from the environment, apply to every task.

    Args:
        data_dir: GLUE folder with one folder per task.
        tasks: Tasks in the order in which they run.
        out: Folder of the run directories ``out/<task>``; an error is kept in ``out/<task>.error.txt``.
        console: Console for progress.
        run_program: Runs this program; None runs it in its own process.

    Returns:
        Name of each failed task → its error.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_EACH_TASK}
    errors: dict[str, str] = {}
    for number, task in enumerate(tasks, start=1):
        console.print(f"\n=== {task.name}, task {number} of {len(tasks)}", markup=False)
        folders = ["--data-dir", str(data_dir / task.folder), "--output-dir", str(out / task.name)]
        status, error = (run_program or run_as_process)(["run", "--task", task.name, *folders], environment)
        kept = error_file(out, task)
        if status == 0:
            kept.unlink(missing_ok=True)
            continue
        errors[task.name] = explain_failure(status, error)
        atomic_write_text(kept, errors[task.name] + "\n")
    return errors


def error_file(out: Path, task: Task) -> Path:
    """Return the file with the error of a failed task; it lies outside the run directory, which may not exist."""
    return out / f"{task.name}.error.txt"
