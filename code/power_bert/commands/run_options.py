"""Options of all commands that use finished runs: the model, its task and its data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from power_bert_runtime.contents import is_exported

if TYPE_CHECKING:
    from power_bert.text.task import Task

_TARGET = (
    "Run (OUTPUT_DIR), folder of one of its phases, or checkpoint with a head: preset, Hugging Face folder or "
    "hf://owner/name"
)
TARGET = typer.Argument(help=f"{_TARGET}.", metavar="RUN_OR_CHECKPOINT")
MODEL = typer.Argument(help=f"{_TARGET}; or an exported file: .tflite, .onnx or .xml.", metavar="MODEL")
RunTask = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="Task [default: that of the run or file; for a checkpoint, TASK of the environment if DATA_DIR is set "
        "too].",
    ),
]
RunData = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        help="Folder or file of the data, or tfds:NAME [default: DATA_DIR of the environment if its TASK is the run's "
        "task, else the run's].",
    ),
]
Threads = Annotated[int, typer.Option("--threads", envvar="THREADS", help="CPU threads of the LiteRT runtime.", min=1)]


def task_and_data_for(target: str | Path, task: str | None, data_dir: str | None) -> tuple[Task | None, str | None]:
    """Return the task and data directory that the user asks for; None takes those of the run.

    Options come first. In the environment TASK and DATA_DIR belong together, and run.sh always sets TASK. DATA_DIR is
    used only if TASK is the run's task or one of its family, and TASK is used only if data are given. Settings left in
    the environment from another run are therefore ignored, with a note.

    Args:
        target: Run, phase or checkpoint, as for `resolve_model`.
        task: Value of --task; None if not given.
        data_dir: Value of --data-dir; None if not given.

    Raises:
        UserError: There is no such task, or the target is a run whose settings are damaged.
    """
    from power_bert.config.own_data import own_task
    from power_bert.config.values import parse_names
    from power_bert.runs.resolve_model import find_run
    from power_bert.runs.run_folder import read_settings
    from power_bert.text.custom_task import CUSTOM
    from power_bert.text.glue_tasks import TASKS, get_task
    from power_bert.text.labeled_sets import LABELED_TASKS
    from power_bert.text.sources import is_tfds
    from power_bert.text.table_rows import is_table_file

    run, asked = find_run(target), get_task(task) if task and task != CUSTOM else None
    own = None if run is None else read_settings(run[0]).task_definition
    variable, given = os.environ.get("TASK", ""), data_dir or os.environ.get("DATA_DIR")
    if given and is_table_file(given):
        variable = CUSTOM
    named, expected = (TASKS | LABELED_TASKS).get(variable), asked or own
    fits = not expected or variable in ("", expected.name) or (named is not None and named.family == expected.family)
    if expected and not fits and given and not data_dir:
        typer.echo(
            f"note: {target} is a run of {expected.name}, so DATA_DIR of the environment (for TASK={variable}) is not "
            f"used. Set TASK={expected.name} as well, or give --data-dir",
            err=True,
        )
        given = None
    if not given:
        return asked, None
    given = given if is_tfds(given) else os.path.abspath(given)
    if is_exported(target):  # names its task itself
        return asked, given
    if asked is None and own is None and CUSTOM in (task, variable):
        columns = parse_names(os.environ.get("TEXT_COLUMNS", ""))
        return own_task(given, columns, os.environ.get("LABEL_COLUMN", "")), given
    if asked is None and fits and named != own:
        asked = named
    return asked, given
