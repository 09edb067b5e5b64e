"""The command line of the server, of `power-bert-serve` and of `bash run.sh serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from power_bert_runtime.errors import UserError
from power_bert_runtime.serving.server_settings import ServerSettings

if TYPE_CHECKING:
    from power_bert_runtime.serving.hosted_models import ServableModel

TOKEN_VARIABLE = "POWER_BERT_TOKEN"
_DEFAULT = ServerSettings()
_SHORTEST_TOKEN = 16

Models = Annotated[
    list[str],
    typer.Argument(
        help="Models, each named after its file, or NAME=FILE; the first one answers requests that name none.",
        metavar="MODEL…",
        show_default=False,
    ),
]


def serve_command(
    open_model: Callable[[str, int | None], ServableModel], find_page: Callable[[], Path | None], help_text: str
) -> Callable[..., None]:
    """Return the command.

    Args:
        open_model: Function from what the user gives for a model, and a number of threads, to a model.
        find_page: Function that returns the folder of the built page, or None, if the user gives none.
        help_text: Help of the command.
    """

    def serve(
        models: Models,
        host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other devices in the network.")] = (
            _DEFAULT.host
        ),
        port: Annotated[
            int, typer.Option(help="Port to listen on; 0 for any free port.", envvar="PORT", min=0, max=65535)
        ] = _DEFAULT.port,
        token_file: Annotated[
            Path | None,
            typer.Option(
                help=f"File with the bearer token that requests must carry [default: ${TOKEN_VARIABLE}, else none].",
                show_default=False,
            ),
        ] = None,
        page: Annotated[
            Path | None, typer.Option(help="Folder of the built page, served at /.", show_default=False)
        ] = None,
        threads: Annotated[
            int | None,
            typer.Option(help="CPU threads [default: all cores].", envvar="THREADS", min=1, show_default=False),
        ] = None,
        batch_size: Annotated[
            int, typer.Option(help="Largest number of examples in a batch.", min=1)
        ] = _DEFAULT.batch_size,
        window_ms: Annotated[
            float,
            typer.Option(help="Time that a text waits for others of its batch, in milliseconds.", min=0, max=1000),
        ] = _DEFAULT.window_ms,
        max_queue: Annotated[
            int, typer.Option(help="Largest number of texts that wait for a model; more are rejected with 429.", min=1)
        ] = _DEFAULT.max_queue,
        max_texts: Annotated[
            int, typer.Option(help="Largest number of texts in a request; more are rejected with 413.", min=1)
        ] = _DEFAULT.max_texts,
        max_characters: Annotated[
            int, typer.Option(help="Largest number of characters in a text; longer ones are rejected with 413.", min=1)
        ] = _DEFAULT.max_characters,
        max_body_bytes: Annotated[
            int, typer.Option(help="Largest size of a request, in bytes; larger ones are rejected with 413.", min=1)
        ] = _DEFAULT.max_body_bytes,
        timeout: Annotated[
            float, typer.Option(help="Time until a request is answered with 504, in seconds.", min=0.001)
        ] = _DEFAULT.timeout_s,
        compare_timeout: Annotated[
            float, typer.Option(help="Time until a comparison is answered with 504, in seconds.", min=0.001)
        ] = _DEFAULT.compare_timeout_s,
        shutdown: Annotated[
            float, typer.Option(help="Time to finish accepted requests after SIGTERM or Ctrl-C, in seconds.", min=0)
        ] = _DEFAULT.shutdown_s,
    ) -> None:
        try:
            from power_bert_runtime.serving.hosted_models import load_models
            from power_bert_runtime.serving.server_process import serve as serve_models
        except ModuleNotFoundError as error:
            raise UserError(
                f"{error.name} is not installed, which the server needs: EXTRAS=serve bash run.sh serve …, or "
                "pip install 'power-bert-runtime[serve]'"
            ) from None
        settings = ServerSettings(
            host=host,
            port=port,
            token=read_token(token_file),
            batch_size=batch_size,
            window_ms=window_ms,
            max_queue=max_queue,
            max_texts=max_texts,
            max_characters=max_characters,
            max_body_bytes=max_body_bytes,
            timeout_s=timeout,
            compare_timeout_s=compare_timeout,
            shutdown_s=shutdown,
        )
        page = page or find_page()
        serve_models(lambda: load_models(models, lambda path: open_model(path, threads)), settings, page)

    serve.__doc__ = help_text
    return serve


def read_token(file: Path | None) -> str | None:
    """Return the bearer token of a file or of the environment; None if neither gives one.

    It is never an option, because the command lines of processes can be read by all users of a machine.

    Raises:
        UserError: The file cannot be read, or the token is too short or has characters that no header may have.
    """
    source = str(file) if file else TOKEN_VARIABLE
    try:
        token = file.read_text(encoding="utf-8").strip() if file else os.environ.get(TOKEN_VARIABLE, "").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); give another --token-file") from None
    if not token and file is None:
        return None
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise UserError(
            f"{source}: the token must have at least {_SHORTEST_TOKEN} characters, ASCII without spaces; make one "
            "with: openssl rand -hex 32"
        )
    return token


def main() -> None:
    """Run `power-bert-serve`, the server without TensorFlow."""
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    app.command()(serve_command(_open_file, lambda: None, _HELP))
    try:
        app(prog_name="power-bert-serve")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


_HELP = """Serve exported classifiers over HTTP: predictions, comparisons, health, metrics; see /docs of the server.

Examples:

    power-bert-serve model.onnx

    power-bert-serve bert=bert.onnx power=power.onnx --host 0.0.0.0 --port 80
"""


def _open_file(path: str, threads: int | None) -> ServableModel:
    from power_bert_runtime import Classifier

    return Classifier(path, threads=threads)


if __name__ == "__main__":
    main()
