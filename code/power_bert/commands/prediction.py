"""Commands that use a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from power_bert.commands.options import option

_TARGET = typer.Argument(help="run folder (OUTPUT_DIR), or a checkpoint with a head", metavar="RUN_OR_CHECKPOINT")
_TASK = typer.Option(help="task; default: the run's")
_DATA_DIR = typer.Option(help="folder of the data; default: the run's")
_RETENTION = option(
    "RETENTION_CONFIG",
    "what each block keeps: 64,48,… (word-vectors), 1.0,0.8,… (shares), a retention.json, or none (everything); "
    "default: as the run or checkpoint has it",
)
_PHASE = typer.Option(help="1_fine_tune, 3_retrain, baseline or 4_distill of a run; default: its final model")
_MAX_LENGTH = typer.Option(help="word pieces of an example at most; default: the run's", min=5, max=4096)


def evaluate(
    target: Annotated[str, _TARGET],
    task: Annotated[str | None, _TASK] = None,
    data_dir: Annotated[str | None, _DATA_DIR] = None,
    split: Annotated[Literal["train", "dev", "test"], typer.Option(help="data to score on")] = "dev",
    retention_config: Annotated[str | None, _RETENTION] = None,
    phase: Annotated[str | None, _PHASE] = None,
    max_length: Annotated[int | None, _MAX_LENGTH] = None,
    output: Annotated[Path | None, typer.Option(help="file that keeps the predictions")] = None,
    against_full: Annotated[
        bool, typer.Option(help="also score the same weights with nothing eliminated, where the model eliminates")
    ] = True,
    report: Annotated[bool, typer.Option("--report", help="also precision, recall and F1 of each class")] = False,
) -> None:
    """Score a trained model, with the retention configuration of its run, another one, or without elimination.

    A model that eliminates is also scored with nothing eliminated, and the difference is shown with a 95 % interval.

    Examples:

        bash run.sh evaluate checkpoints/runs/acceptability-sample/sample-acceptability-all-MiniLM-L6-v2

        bash run.sh evaluate RUN --retention-config 1.0,0.8,0.6,0.4,0.2,0.1

        bash run.sh evaluate RUN --retention-config none

        bash run.sh evaluate RUN --split test --report

        bash run.sh evaluate RUN/3_retrain/model --task cola --data-dir glue_data/CoLA
    """
    from power_bert.quiet import import_backend

    import_backend()
    from rich.console import Console

    from power_bert.text.glue_tasks import get_task
    from power_bert.train.evaluation import evaluate, lines_against_full
    from power_bert.train.trained_model import load_trained_model

    task_asked = get_task(task) if task else None
    model = load_trained_model(target, task_asked, data_dir, retention_config, phase, max_length)
    console = Console(stderr=True)
    evaluation = evaluate(model, split, console, output)
    for line in [*evaluation.lines(), *(lines_against_full(evaluation, console) if against_full else [])]:
        typer.echo(line)
    if report and evaluation.report:
        typer.echo(f"\n{evaluation.report}", nl=False)


def predict(
    target: Annotated[str, _TARGET],
    split: Annotated[
        Literal["train", "dev", "test"] | None, typer.Option(help="predict the task's data instead of raw text")
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", help="raw text, one example a line, pairs with a tab; or .csv or .jsonl; default: stdin"
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="file that appears when complete; default: stdout")] = None,
    form: Annotated[
        Literal["glue", "tsv", "jsonl"] | None,
        typer.Option("--format", help="glue (index and prediction; default with --split), tsv (default) or jsonl"),
    ] = None,
    task: Annotated[str | None, _TASK] = None,
    data_dir: Annotated[str | None, _DATA_DIR] = None,
    retention_config: Annotated[str | None, _RETENTION] = None,
    phase: Annotated[str | None, _PHASE] = None,
    max_length: Annotated[int | None, _MAX_LENGTH] = None,
) -> None:
    """Predict raw text, with probabilities, or a split of the task's data, as a GLUE file; any amount of either.

    Examples:

        echo "The boys near the girl laughs." | bash run.sh predict checkpoints/runs/cola/first

        bash run.sh predict RUN --input sentences.txt --output labels.tsv

        bash run.sh predict RUN --input pairs.txt --format jsonl --retention-config none

        bash run.sh predict RUN --split test --output CoLA.tsv
    """
    from power_bert.errors import UserError
    from power_bert.quiet import import_backend

    if split and input_file:
        raise UserError("--split predicts the task's data and --input raw text; give one of them")
    if form == "glue" and not split:
        raise UserError("--format glue is for --split; raw text gives tsv or jsonl")
    import_backend()
    from rich.console import Console

    from power_bert.text.glue_tasks import get_task
    from power_bert.train.prediction_output import predict_raw_texts, predict_split
    from power_bert.train.trained_model import load_trained_model

    task_asked = get_task(task) if task else None
    model = load_trained_model(target, task_asked, data_dir, retention_config, phase, max_length)
    console = Console(stderr=True)
    if split:
        predict_split(model, split, form or "glue", output, console)
    else:
        predict_raw_texts(model, input_file, form or "tsv", output, console)
