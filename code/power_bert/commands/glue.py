"""Commands for all of GLUE: run the tasks, make their table, write and check submissions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from power_bert.commands.run_options import RunData, task_and_data_for
from power_bert.commands.shared_options import Wait
from power_bert.config.values import parse_names

if TYPE_CHECKING:
    from power_bert.glue.glue_results import GlueResult


def glue(
    data_folder: Annotated[Path, typer.Argument(help="GLUE folder, with one folder per task.")],
    tasks: Annotated[
        str | None,
        typer.Option(help="Comma-separated tasks, such as cola,mrpc [default: all that have data in the folder]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the runs and the table [default: checkpoints/runs/glue].")
    ] = None,
    wait: Wait = False,
) -> None:
    """Run all GLUE tasks of a folder, one after another, and write the GLUE table.

    All other settings of run.sh are read from the environment and apply to every task. Finished tasks are skipped. A
    task that fails does not stop the others, but the exit status is then 1. The table is written as text, CSV and PNG.

    Examples:

        bash run.sh glue glue_data

        EPOCH=2 bash run.sh glue glue_data --tasks cola,mrpc,sts-b --out checkpoints/runs/glue-minilm
    """
    from rich.console import Console

    from power_bert.folders import RUNS_FOLDER
    from power_bert.glue.glue_results import complete_results, glue_folder_results
    from power_bert.glue.run_all import choose_tasks, run_glue
    from power_bert.storage.locks import one_writer

    console, folder = Console(highlight=False, soft_wrap=True), (out or RUNS_FOLDER / "glue").absolute()
    chosen = choose_tasks(data_folder.absolute(), parse_names(tasks or ""))
    with one_writer(folder, wait):
        errors = run_glue(data_folder.absolute(), chosen, folder, console)
        _show_table(folder, complete_results(glue_folder_results(folder, errors)))
    if errors:
        raise typer.Exit(1)


def glue_table(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories, or folders of runs such as checkpoints/runs/glue.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for glue_table.txt, .csv and .png.")] = Path(),
) -> None:
    """Rebuild the GLUE table from stored runs.

    Examples:

        bash run.sh glue-table checkpoints/runs/glue --out checkpoints/runs/glue

        bash run.sh glue-table checkpoints/runs/cola/first checkpoints/runs/mrpc/first
    """
    from power_bert.glue.glue_results import complete_results, find_runs, read_result

    _show_table(out, complete_results([read_result(run) for run in find_runs(runs)]))


def submit(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, at most one per task, or folders of runs.")],
    out: Annotated[Path, typer.Option(help="Zip file to write.")] = Path("submission.zip"),
    phase: Annotated[
        str, typer.Option(help="Phase whose predictions are submitted: 1_fine_tune or 3_retrain.")
    ] = "3_retrain",
    data_dir: RunData = None,
) -> None:
    """Write and verify a GLUE submission from finished runs: a zip with the eleven prediction files.

    The model of an MNLI run also predicts AX and the other MNLI test set. For a task without a run every row gets
    the majority class, and the output says so.

    Examples:

        bash run.sh submit checkpoints/runs/glue --out submission.zip

        bash run.sh submit checkpoints/runs/cola/first checkpoints/runs/mnli-m/first --phase 1_fine_tune
    """
    from rich.console import Console

    from power_bert.glue.glue_results import find_runs
    from power_bert.glue.submit import submit

    def find_data(run: Path) -> str | None:
        return task_and_data_for(run, None, data_dir)[1]

    for entry in submit(find_runs(runs), out, phase, Console(stderr=True), find_data):
        typer.echo(entry.line())
    typer.echo(f"wrote and verified {out}")


def verify(
    target: Annotated[
        Path, typer.Argument(help="Zip of a submission, or folder of a run, model, cached logits or corpus.")
    ],
) -> None:
    """Check a GLUE submission, or every file that this project wrote into a folder.

    A submission is checked for files, headers, rows, indices, labels, scores and line ends. A folder is checked for the
    sha256 of its models, cached logits, corpora and .tflite files, and for the metrics and predictions of its runs.
    Each fault is listed with file and line, for a submission at most 20 per file. The exit status is 1 if there are
    faults.

    Examples:

        bash run.sh verify submission.zip

        # or RUN/3_retrain/model, checkpoints/teacher_logits, corpus
        bash run.sh verify RUN
    """
    if target.is_dir():
        _verify_folder(target)
        return
    from power_bert.glue.submission import find_submission_faults

    faults = find_submission_faults(target)
    for found in faults:
        for line in found.lines():
            typer.echo(line)
    _tell_number(target, sum(found.count for found in faults))


def _verify_folder(folder: Path) -> None:
    from power_bert.reports.verification import verify_folder

    faults = verify_folder(folder, typer.echo)
    for fault in faults:
        typer.echo(fault)
    _tell_number(folder, len(faults))


def _tell_number(target: Path, faults: int) -> None:
    """Print the number of faults; exit with status 1 if there are any."""
    if faults:
        typer.echo(f"{target}: {faults} fault{'s' if faults > 1 else ''}")
        raise typer.Exit(1)
    typer.echo(f"{target}: no faults")


def _show_table(folder: Path, results: list[GlueResult]) -> None:
    from power_bert.glue.glue_table import glue_text, write_glue_table

    paths = write_glue_table(folder, results)
    typer.echo(f"\n{glue_text(results)}")
    for path in paths:
        typer.echo(str(path))
