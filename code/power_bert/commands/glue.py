"""Commands for the whole of GLUE: all tasks, their table, and submissions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from power_bert.commands.options import Wait

if TYPE_CHECKING:
    from power_bert.analysis.glue_results import GlueResult


def glue(
    data_folder: Annotated[Path, typer.Argument(help="GLUE folder with one folder a task")],
    tasks: Annotated[
        str | None, typer.Option(help="such as cola,mrpc; default: all whose data are in the folder")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder of the runs and the table; default: checkpoints/runs/glue")
    ] = None,
    wait: Wait = False,
) -> None:
    """Run all GLUE tasks of a folder one after another and end with the GLUE table.

    Every other setting of run.sh, from the environment, holds for each task. What is finished is not done again; a task
    that fails does not stop the others, but makes the exit status 1. The table is written as text, CSV and picture.

    Examples:

        bash run.sh glue glue_data

        EPOCH=2 LR_BERT=1e-4 bash run.sh glue glue_data --tasks cola,mrpc,sts-b --out checkpoints/runs/glue-minilm
    """
    from rich.console import Console

    from power_bert.analysis.glue_results import complete_results, glue_folder_results
    from power_bert.folders import RUNS_FOLDER
    from power_bert.locks import one_writer
    from power_bert.train.glue import choose_tasks, run_glue

    console, folder = Console(highlight=False, soft_wrap=True), (out or RUNS_FOLDER / "glue").absolute()
    chosen = choose_tasks(data_folder.absolute(), tasks.split(",") if tasks else [])
    with one_writer(folder, wait):
        errors = run_glue(data_folder.absolute(), chosen, folder, console)
        _show_table(folder, complete_results(glue_folder_results(folder, errors)))
    if errors:
        raise typer.Exit(1)


def glue_table(
    runs: Annotated[list[Path], typer.Argument(help="run folders, or folders of runs such as checkpoints/runs/glue")],
    out: Annotated[Path, typer.Option(help="folder for glue_table.txt, .csv and .png")] = Path(),
) -> None:
    """Make the GLUE table again from stored runs.

    Examples:

        bash run.sh glue-table checkpoints/runs/glue --out checkpoints/runs/glue

        bash run.sh glue-table checkpoints/runs/cola/first checkpoints/runs/mrpc/first
    """
    from power_bert.analysis.glue_results import complete_results, find_runs, read_result

    _show_table(out, complete_results([read_result(run) for run in find_runs(runs)]))


def submit(
    runs: Annotated[list[Path], typer.Argument(help="run folders, at most one a task; or folders of runs")],
    out: Annotated[Path, typer.Option(help="the zip")] = Path("submission.zip"),
    phase: Annotated[str, typer.Option(help="1_fine_tune or 3_retrain")] = "3_retrain",
) -> None:
    """Write a GLUE submission from finished runs: a zip with the eleven files, verified.

    Predictions of an MNLI run also serve for AX and the other half of MNLI. A task without a run is filled with its
    majority class, and named.

    Examples:

        bash run.sh submit checkpoints/runs/glue --out submission.zip

        bash run.sh submit checkpoints/runs/cola/first checkpoints/runs/mnli-m/first --phase 1_fine_tune
    """
    from rich.console import Console

    from power_bert.analysis.glue_results import find_runs
    from power_bert.train.submit import submit

    for entry in submit(find_runs(runs), out, phase, Console(stderr=True)):
        typer.echo(entry.line())
    typer.echo(f"wrote and verified {out}")


def verify(
    target: Annotated[Path, typer.Argument(help="zip of a submission, or a folder: a run, a model, logits, a corpus")],
) -> None:
    """Check a GLUE submission, or everything that this project has written into a folder.

    Of a submission: files, headers, rows, indices, labels, scores and line ends. Of a folder: the sha256 of every file
    of its models, cached logits, corpora and .tflite files, and the figures and predictions of its runs. Lists every
    fault, of a submission the first 20 of each file, with file and line; the exit status is 1 if there are any.

    Examples:

        bash run.sh verify submission.zip

        bash run.sh verify RUN                      # or RUN/3_retrain/model, checkpoints/teacher_logits, corpus
    """
    if target.is_dir():
        _verify_folder(target)
        return
    from power_bert.text.submission import find_submission_faults

    faults = find_submission_faults(target)
    for found in faults:
        for line in found.lines():
            typer.echo(line)
    _tell_number(target, sum(found.count for found in faults))


def _verify_folder(folder: Path) -> None:
    from power_bert.analysis.verification import verify_folder

    faults = verify_folder(folder, typer.echo)
    for fault in faults:
        typer.echo(fault)
    _tell_number(folder, len(faults))


def _tell_number(target: Path, faults: int) -> None:
    """Say how many faults there are; with any, end with exit status 1."""
    if faults:
        typer.echo(f"{target}: {faults} fault{'s' if faults > 1 else ''}")
        raise typer.Exit(1)
    typer.echo(f"{target}: no faults")


def _show_table(folder: Path, results: list[GlueResult]) -> None:
    from power_bert.analysis.glue_table import glue_text, write_glue_table

    paths = write_glue_table(folder, results)
    typer.echo(f"\n{glue_text(results)}")
    for path in paths:
        typer.echo(str(path))
