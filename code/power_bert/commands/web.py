"""Command that builds and serves the browser page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def web(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Exported .tflite files that the page opens at start.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the server on this machine.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for other devices in the network.")
    ] = "127.0.0.1",
    build: Annotated[bool, typer.Option("--build", help="Build the page without serving it.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder to write the page and the models to, for a web host; nothing is served."),
    ] = None,
) -> None:
    """Build the browser page for exported classifiers and serve it on this machine.

    The first build needs npm. Texts and models never leave the browser.

    Examples:

        bash run.sh web power.tflite bert.tflite

        # for a phone in the same network
        bash run.sh web model.tflite --host 0.0.0.0

        # a static folder
        bash run.sh web model.tflite --out public
    """
    from power_bert.errors import UserError
    from power_bert.export.web.build import build_site, write_site
    from power_bert.export.web.serve import serve
    from power_bert_runtime.serving.page_headers import THREAD_HEADERS

    files = models or []
    for model in files:
        if not model.is_file():
            raise UserError(f"{model}: no such file. Export one with: bash run.sh export RUN --out model.tflite")
    if out is not None:
        write_site(out, files, typer.echo)
        typer.echo(f"wrote {out}: any web host can serve it")
        headers = "; ".join(f"{name}: {value}" for name, value in THREAD_HEADERS.items())
        typer.echo(
            f"With the headers {headers} the models run in several threads. Netlify and Cloudflare Pages read them "
            "from _headers; elsewhere set them in the configuration of the web server."
        )
        return
    site = build_site(typer.echo)
    if build:
        typer.echo(f"The page is in {site}")
    else:
        serve(site, files, port, host, typer.echo)
