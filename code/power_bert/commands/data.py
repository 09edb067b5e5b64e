"""Commands that bring data and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fetch(
    target: Annotated[Path | None, typer.Argument(help="folder; default: checkpoints/all-MiniLM-L6-v2")] = None,
) -> None:
    """Fetch the default pretrained encoder, all-MiniLM-L6-v2 (90 MB), and check its sha256.

    Example:

        bash run.sh fetch
    """
    from power_bert.config import DEFAULT_CHECKPOINT
    from power_bert.text.download import fetch_minilm

    typer.echo(f"{fetch_minilm(target or DEFAULT_CHECKPOINT)} is complete")


def sample(
    target: Annotated[Path | None, typer.Argument(help="folder; default: glue_data/sample/CoLA")] = None,
    seed: Annotated[int, typer.Option(help="another seed gives other sentences")] = 0,
) -> None:
    """Generate the embedded data set: acceptability of sentences, in CoLA's layout.

    Example:

        bash run.sh sample /tmp/CoLA --seed 1
    """
    from power_bert.config import SAMPLE_FOLDER
    from power_bert.text.sample_cola import write_sample

    folder = target or SAMPLE_FOLDER / "CoLA"
    write_sample(folder, seed=seed)
    typer.echo(f"wrote {folder}")
