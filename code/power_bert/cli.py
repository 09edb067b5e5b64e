"""The command line: one sub-command a verb, defined in `power_bert.commands`; the work is done elsewhere."""

from __future__ import annotations

import os
import sys

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
from power_bert.errors import UserError

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

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; an error that the user can mend is shown without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer has caught Ctrl-C
            print("stopped; what is finished is kept, and the same command goes on from there", file=sys.stderr)
        raise
