"""Commands that fetch or generate data and checkpoints."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from power_bert.commands.shared_options import Wait
from power_bert.config.shared_settings import TASK_NAMES


def fetch(
    target: Annotated[Path | None, typer.Argument(help="Folder [default: checkpoints/all-MiniLM-L6-v2].")] = None,
) -> None:
    """Fetch the default pretrained encoder, all-MiniLM-L6-v2 (90 MB), and check the sha256 of each file.

    Example:

        bash run.sh fetch
    """
    from power_bert.folders import DEFAULT_CHECKPOINT
    from power_bert.model.checkpoints.download import fetch_minilm

    typer.echo(f"{fetch_minilm(target or DEFAULT_CHECKPOINT, typer.echo)} is complete")


def download(
    tasks: Annotated[
        list[str],
        typer.Argument(help=f"Tasks: {TASK_NAMES}, ax; all for all of these; emotion, massive, 20newsgroups."),
    ],
    to: Annotated[Path | None, typer.Option(help="Parent of the folders of the tasks [default: glue_data].")] = None,
    mirror: Annotated[str | None, typer.Option(help="URL of a folder with the same files on another server.")] = None,
    wait: Wait = False,
) -> None:
    """Fetch the official data sets, check them and unpack them, one folder per task; complete folders are kept.

    An interrupted download resumes where it stopped. Files from a server are checked by sha256, and every data set by
    its rows. A rejected file is renamed to NAME.refused-…, so that the next call fetches it again.

    Examples:

        bash run.sh download cola

        bash run.sh download mnli-m rte ax

        bash run.sh download all

        bash run.sh download emotion massive 20newsgroups
    """
    from rich.console import Console

    from power_bert.folders import GLUE_FOLDER
    from power_bert.glue.glue_download import download_glue
    from power_bert.storage.transfer_progress import transfer_bars

    console = Console(highlight=False, soft_wrap=True)
    with transfer_bars(console) as show_progress:
        tell = functools.partial(console.print, markup=False)
        download_glue(tasks, to or GLUE_FOLDER, tell, show_progress, mirror, wait)


def sample(
    target: Annotated[Path | None, typer.Argument(help="Folder [default: glue_data/sample/acceptability].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sentences.")] = 0,
) -> None:
    """Generate the data set acceptability-sample: synthetic sentences in the layout of CoLA, which it is not.

    Example:

        # then TASK=acceptability-sample DATA_DIR=/tmp/sample bash run.sh
        bash run.sh sample /tmp/sample --seed 1
    """
    from power_bert.config.experiment import SAMPLE_FOLDER
    from power_bert.text.labeled_sets import LABELED_TASKS, SAMPLE
    from power_bert.text.sample.sample_sentences import write_sample

    folder = target or SAMPLE_FOLDER / LABELED_TASKS[SAMPLE].folder
    write_sample(folder, seed=seed)
    typer.echo(f"wrote {folder}")
