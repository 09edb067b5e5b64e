"""The command that builds and serves the browser page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def web(
    models: Annotated[
        list[Path] | None, typer.Argument(help="exported .tflite files that the page opens at once", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(help="of the server on this machine")] = 8000,
    build: Annotated[bool, typer.Option("--build", help="build the page only")] = False,
    out: Annotated[
        Path | None, typer.Option(help="write page and models to this new folder, for a web host; do not serve")
    ] = None,
) -> None:
    """Try exported classifiers in the browser, side by side: build the page and serve it on this machine.

    Needs npm the first time. Texts and models stay in the browser.

    Examples:

        bash run.sh web power.tflite bert.tflite

        bash run.sh web model.tflite --out public    # a static folder
    """
    from power_bert.errors import UserError
    from power_bert.export.web.build import build_site, write_site
    from power_bert.export.web.serve import serve

    files = models or []
    for model in files:
        if not model.is_file():
            raise UserError(f"{model}: no such file. Export one with: bash run.sh export RUN --out model.tflite")
    if out is not None:
        write_site(out, files, typer.echo)
        typer.echo(f"wrote {out}: any web host can serve it")
        return
    site = build_site(typer.echo)
    if build:
        typer.echo(f"The page is in {site}")
    else:
        serve(site, files, port, typer.echo)
