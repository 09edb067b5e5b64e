"""All GLUE tasks of a folder one after another, each run in a process of its own; needs no Keras itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.folders import PROGRAM
from power_bert.locks import writes
from power_bert.text.examples import has_split
from power_bert.text.glue_tasks import TASKS, get_task
from power_bert.text.task import Task

# Settings of run.sh that say which one run it is, or that nothing is to be trained.
_NOT_FOR_EACH_TASK = ("TASK", "DATA_DIR", "OUTPUT_DIR", "EVAL_ONLY", "PREDICT_ONLY")
_LINES_KEPT_OF_AN_ERROR = 20
# Runs one task: (arguments of the program, environment) -> exit status and the end of what it wrote to stderr.
RunProgram = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]


def choose_tasks(data_dir: Path, names: Sequence[str]) -> list[Task]:
    """The tasks to run: those named, or all that can be trained and have training data in the folder.

    Raises:
        UserError: a name is no GLUE task or cannot be trained, or the folder holds no task at all.
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
    data_dir: Path, tasks: Sequence[Task], out: Path, console: Console, run_program: RunProgram | None = None
) -> dict[str, str]:
    """Run the tasks; one that fails does not stop the others, and one that is finished is left as it is.

    The settings of run.sh, from the environment, hold for every task.

    Args:
        data_dir: GLUE folder with one folder a task.
        tasks: in this order.
        out: each task gets the run folder ``out/<task>``; an error is kept in ``out/<task>.error.txt``.
        console: where to say what goes on.
        run_program: runs this program; None for a process of its own.

    Returns:
        Name of each task that failed → its error.
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
    """Where the error of a failed task is kept; not in its run folder, which a run that never began does not have."""
    return out / f"{task.name}.error.txt"


def run_as_process(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run this program; its output is shown as it comes.

    Returns:
        Exit status (negative: the signal that ended it) and the last lines that it wrote to stderr.
    """
    command = [sys.executable, "-P", *PROGRAM, *arguments]
    last: deque[str] = deque(maxlen=_LINES_KEPT_OF_AN_ERROR)
    with subprocess.Popen(
        command, env=dict(environment), stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=_end_with_parent
    ) as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            last.append(line)
    return process.returncode, "".join(last)


def _end_with_parent() -> None:
    """A killed `glue` must not leave a run behind that the next one would meet; only Linux can see to that."""
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


def explain_failure(status: int, stderr: str) -> str:
    """What the user should know of a run that failed: the error that the program named, or else all that is known."""
    _, named, error = f"\n{stderr}".rpartition("\nerror: ")
    if named:
        return error.strip()
    if status < 0:
        cause = ", probably for lack of memory" if -status == signal.SIGKILL else ""
        return f"ended by {signal.Signals(-status).name}{cause}; see the log of the run"
    return stderr.strip() or f"ended with status {status}; see the log of the run"
