"""Commands that bring data and checkpoints."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from power_bert.commands.options import TASK_NAMES, Wait


def fetch(
    target: Annotated[Path | None, typer.Argument(help="folder; default: checkpoints/all-MiniLM-L6-v2")] = None,
) -> None:
    """Fetch the default pretrained encoder, all-MiniLM-L6-v2 (90 MB), and check the sha256 of each file.

    Example:

        bash run.sh fetch
    """
    from power_bert.folders import DEFAULT_CHECKPOINT
    from power_bert.text.download import fetch_minilm

    typer.echo(f"{fetch_minilm(target or DEFAULT_CHECKPOINT, typer.echo)} is complete")


def download(
    tasks: Annotated[list[str], typer.Argument(help=f"{TASK_NAMES}, ax; all of these; 20newsgroups")],
    to: Annotated[Path | None, typer.Option(help="folder that gets one folder a task; default: glue_data")] = None,
    mirror: Annotated[str | None, typer.Option(help="address of another server's folder with the same files")] = None,
    wait: Wait = False,
) -> None:
    """Fetch official data sets, check them and unpack them, one folder a task; what is there is kept.

    An interrupted download goes on where it stopped. Files from a server are checked by sha256, and all by their rows;
    a file that is refused is renamed (NAME.refused-…), so that the next call fetches it anew.

    Examples:

        bash run.sh download cola

        bash run.sh download mnli-m rte ax

        bash run.sh download all

        bash run.sh download 20newsgroups
    """
    from rich.console import Console

    from power_bert.folders import GLUE_FOLDER
    from power_bert.text.glue_download import download_glue
    from power_bert.text.transfer_progress import transfer_bars

    console = Console(highlight=False, soft_wrap=True)
    with transfer_bars(console) as show_progress:
        tell = functools.partial(console.print, markup=False)
        download_glue(tasks, to or GLUE_FOLDER, tell, show_progress, mirror, wait)


def sample(
    target: Annotated[Path | None, typer.Argument(help="folder; default: glue_data/sample/acceptability")] = None,
    seed: Annotated[int, typer.Option(help="another seed gives other sentences")] = 0,
) -> None:
    """Generate the embedded data set, acceptability-sample: made-up sentences in CoLA's layout, which are not CoLA.

    Example:

        bash run.sh sample /tmp/sample --seed 1        # then TASK=acceptability-sample DATA_DIR=/tmp/sample bash run.sh
    """
    from power_bert.config import SAMPLE_FOLDER
    from power_bert.text.labelled_sets import LABELLED_TASKS, SAMPLE
    from power_bert.text.sample_cola import write_sample

    folder = target or SAMPLE_FOLDER / LABELLED_TASKS[SAMPLE].folder
    write_sample(folder, seed=seed)
    typer.echo(f"wrote {folder}")
