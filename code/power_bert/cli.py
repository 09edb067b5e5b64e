"""The command line: one sub-command a verb; the work is done elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from power_bert.errors import UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="PoWER-BERT: fine-tune a BERT, search how many word-vectors each block needs, re-train it faster.",
)

_INTERRUPTED = 130
_PAPER = "empty: the task's value from the paper"


def _option(variable: str, help_text: str) -> Any:
    """An option that can also come from the environment variable of run.sh with that name."""
    return typer.Option(f"--{variable.lower().replace('_', '-')}", envvar=variable, help=help_text)


@app.command()
def run(
    task: Annotated[str, _option("TASK", "GLUE task: cola, sst-2, mrpc, sts-b, wnli")] = "cola",
    data_dir: Annotated[str | None, _option("DATA_DIR", "folder with train, dev and test .tsv; empty: sample")] = None,
    checkpoint_path: Annotated[
        str | None, _option("CHECKPOINT_PATH", "pretrained BERT; empty: all-MiniLM-L6-v2, fetched on first use")
    ] = None,
    vocab_path: Annotated[str | None, _option("VOCAB_PATH", "vocab.txt, where not beside the checkpoint")] = None,
    bert_config_path: Annotated[
        str | None, _option("BERT_CONFIG_PATH", "bert_config.json, where not beside the checkpoint")
    ] = None,
    output_dir: Annotated[str | None, _option("OUTPUT_DIR", "run folder; empty: checkpoints/runs/TASK/…")] = None,
    epoch: Annotated[int | None, _option("EPOCH", "epochs of phases 1 and 3; empty: 3")] = None,
    batch_size: Annotated[int | None, _option("BATCH_SIZE", f"examples of a batch; {_PAPER}")] = None,
    lr_soft_extract: Annotated[
        float | None, _option("LR_SOFT_EXTRACT", f"learning rate of the retention parameters; {_PAPER}")
    ] = None,
    lr_bert: Annotated[float | None, _option("LR_BERT", f"learning rate of all other weights; {_PAPER}")] = None,
    regularization: Annotated[float | None, _option("LAMBDA", f"weight λ of the regulariser; {_PAPER}")] = None,
    max_length: Annotated[int | None, _option("MAX_LENGTH", f"word pieces at most; {_PAPER}")] = None,
    seed: Annotated[int, _option("SEED", "of initialisation, order and dropout")] = 0,
    cased: Annotated[str | None, _option("CASED", "1 cased, 0 uncased; empty or auto: as the checkpoint says")] = None,
    similarity: Annotated[
        str | None, _option("SIMILARITY", "attention: dot, cosine, euclidean or gaussian; empty: dot")
    ] = None,
    gate: Annotated[str | None, _option("GATE", "soft extraction: visibility or scale (the paper)")] = None,
    retention_unit: Annotated[
        str | None, _option("RETENTION_UNIT", "search shares of each example (fraction) or word-vectors (tokens)")
    ] = None,
    retention_profile: Annotated[
        str | None, _option("RETENTION_PROFILE", "search one share a block (step) or every rank (free, the paper)")
    ] = None,
    search_epoch: Annotated[int | None, _option("SEARCH_EPOCH", "epochs of phase 2; empty: EPOCH")] = None,
    warmup: Annotated[float | None, _option("WARMUP", "share of updates with rising rate; empty: 0.1")] = None,
    weight_decay: Annotated[float | None, _option("WEIGHT_DECAY", "decoupled weight decay; empty: 0.01")] = None,
    dropout: Annotated[float | None, _option("DROPOUT", "rate; empty: the checkpoint's")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", envvar="RESUME", help="go on with an interrupted run, or start anew")
    ] = True,
) -> None:
    """Run all three phases on one task and print the summary.

    Examples:

        bash run.sh                                                # the embedded default

        TASK=mrpc DATA_DIR=glue_data/MRPC bash run.sh

        bash run.sh run --task cola --data-dir glue_data/CoLA --lambda 0.003 --epoch 3
    """
    from power_bert.config import resolve_experiment
    from power_bert.quiet import import_backend

    experiment = resolve_experiment(
        {
            "task": task,
            "data_dir": data_dir,
            "checkpoint_path": checkpoint_path,
            "vocab_path": vocab_path,
            "bert_config_path": bert_config_path,
            "output_dir": output_dir,
            "epochs": epoch,
            "search_epochs": search_epoch,
            "batch_size": batch_size,
            "lr_bert": lr_bert,
            "lr_soft_extract": lr_soft_extract,
            "regularization": regularization,
            "max_length": max_length,
            "seed": seed,
            "cased": parse_cased(cased),
            "similarity": similarity,
            "gate": gate,
            "retention_unit": retention_unit,
            "retention_profile": retention_profile,
            "warmup": warmup,
            "weight_decay": weight_decay,
            "dropout": dropout,
        }
    )
    import_backend()
    from power_bert.analysis.report import finish_run
    from power_bert.train.driver import run_experiment

    finish_run(run_experiment(experiment, resume))


def parse_cased(value: str | None) -> bool | None:
    """CASED of run.sh: None for "" and "auto"."""
    choices = {None: None, "": None, "auto": None, "1": True, "true": True, "0": False, "false": False}
    if value is not None and value.lower() not in choices:
        raise UserError(f"CASED={value!r} is unknown: expected 1 (cased), 0 (uncased) or auto")
    return choices[value.lower() if value else value]


@app.command()
def summary(run_folder: Annotated[Path, typer.Argument(help="run folder (OUTPUT_DIR)")]) -> None:
    """Print the summary table of a finished run again.

    Example:

        bash run.sh summary checkpoints/runs/cola/sample-CoLA-all-MiniLM-L6-v2
    """
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.report import finish_run
    from power_bert.run_dir import RunDir

    finish_run(RunDir(run_folder))


@app.command()
def benchmark(
    run_folder: Annotated[Path, typer.Argument(help="run folder (OUTPUT_DIR)")],
) -> None:
    """Measure a finished run on the clock again: fixed padding, length buckets, length buckets with elimination.

    Example:

        bash run.sh benchmark checkpoints/runs/cola/sample-CoLA-all-MiniLM-L6-v2
    """
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.report import finish_run, measure_run
    from power_bert.run_dir import RunDir

    measure_run(RunDir(run_folder))
    finish_run(RunDir(run_folder))


@app.command()
def benchmark_similarity(
    length: Annotated[int, typer.Option(help="word-vectors of an example")] = 128,
    batch_size: Annotated[int, typer.Option(help="examples of a batch")] = 16,
) -> None:
    """Measure dot, cosine, Euclidean and Gaussian attention against each other, in inference and in training.

    Example:

        bash run.sh benchmark-similarity --length 512 --batch-size 4
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.similarity_speed import measure_similarities, similarity_table

    Console().print(similarity_table(measure_similarities(length, batch_size)))


@app.command()
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


@app.command()
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
            print("stopped; the same command goes on after the last finished epoch", file=sys.stderr)
        raise
