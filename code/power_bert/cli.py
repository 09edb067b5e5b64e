"""The command line: one sub-command a verb, defined in `power_bert.commands`; the work is done elsewhere."""

from __future__ import annotations

import os

import typer

from power_bert.commands import (
    compression,
    corpus,
    data,
    distillation,
    export,
    glue,
    prediction,
    pretraining,
    reports,
    training,
    web,
)
from power_bert.guard import run_guarded
from power_bert.surroundings import adapt_environment

COMMANDS = (
    training.run,
    prediction.evaluate,
    prediction.predict,
    glue.glue,
    glue.glue_table,
    glue.submit,
    glue.verify,
    reports.summary,
    reports.benchmark,
    reports.benchmark_similarity,
    reports.benchmark_reading,
    reports.benchmark_predicting,
    corpus.train_vocab,
    corpus.prepare_corpus,
    pretraining.pretrain,
    pretraining.study,
    distillation.distill,
    distillation.ensemble,
    distillation.compare,
    compression.compress,
    distillation.linear_baselines,
    distillation.measure_distillation,
    data.fetch,
    data.download,
    data.sample,
    export.export,
    export.inspect,
    export.benchmark_export,
    export.proof_points,
    web.web,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="PoWER-BERT: fine-tune a BERT, search how many word-vectors each block needs, re-train it faster.",
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line; see `run_guarded` for how it ends."""

    def program() -> None:
        adapt_environment()
        app(prog_name=os.environ.get("POWER_BERT_PROGRAM", "power-bert"))

    run_guarded(program)
