"""Command line: one sub-command for each verb, defined in `power_bert.commands`."""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from collections.abc import Callable
from typing import Annotated

import typer

from power_bert.commands import (
    compress,
    corpus,
    data,
    distill,
    export,
    glue,
    predict,
    pretrain,
    reports,
    service,
    train,
    web,
)
from power_bert.commands.help_page import Command
from power_bert.folders import CHECKOUT
from power_bert.guard import run_guarded
from power_bert.process_environment import adapt_environment
from power_bert.program_name import PROGRAM_NAME, as_typed

# Group of `--help` → its commands.
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Train": (train.run, glue.glue, distill.distill, distill.ensemble, compress.compress),
    "Use": (predict.predict, predict.explain, predict.evaluate, reports.summary, glue.submit, glue.verify),
    "Deploy": (export.export, export.inspect, web.web, service.serve),
    "Measure": (
        reports.benchmark,
        reports.pareto,
        export.benchmark_export,
        distill.compare,
        export.proof_points,
        glue.glue_table,
        distill.linear_baselines,
        distill.measure_distillation,
        reports.benchmark_similarity,
        reports.benchmark_reading,
        reports.benchmark_predicting,
        service.benchmark_serve,
    ),
    "Pre-train": (corpus.train_vocab, corpus.prepare_corpus, pretrain.pretrain, pretrain.study),
    "Get data and checkpoints": (data.download, data.fetch, data.sample),
}

app = typer.Typer(
    add_completion=" " not in PROGRAM_NAME,  # shells complete the arguments of `power-bert`, not of `bash run.sh`
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="PoWER-BERT: fine-tune a BERT, search how many tokens each block needs, re-train it with only those.",
)
for group, commands in COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=group, help=as_typed(inspect.getdoc(command) or ""))(command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"power-bert {version()}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of the program itself."""


def version() -> str:
    """Return the version of this program: a checkout is not installed, and has it in its pyproject.toml."""
    if CHECKOUT is None:
        return importlib.metadata.version("power-bert")
    with open(CHECKOUT / "pyproject.toml", "rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def main() -> None:
    """Run the command line; `run_guarded` turns its errors into messages and exit statuses."""

    def program() -> None:
        adapt_environment()
        app(prog_name=PROGRAM_NAME)

    run_guarded(program)
