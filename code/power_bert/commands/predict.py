"""Commands that use a trained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from power_bert.commands.run_options import MODEL, TARGET, RunData, RunTask, task_and_data_for
from power_bert.commands.shared_options import BeamOption, Runner, option
from power_bert.config.values import parse_names
from power_bert_runtime.contents import is_exported

if TYPE_CHECKING:
    from power_bert.predict.prediction_output import ChunkRunner
    from power_bert.predict.usable_model import UsableModel
    from power_bert.runs.trained_model import TrainedModel
    from power_bert.text.task import Task

_RETENTION = option(
    "RETENTION_CONFIG",
    "Retention configuration: 64,48,… (tokens of each block), 1.0,0.8,… (fractions of each example's tokens), a "
    "retention.json, or none to disable elimination [default: the model's own].",
)
_PHASE = typer.Option(help="Phase of a run: 1_fine_tune, 3_retrain, baseline or 4_distill [default: its final model].")
_MAX_LENGTH = typer.Option(help="Max length of an example, in tokens [default: the run's].", min=5, max=4096)


def evaluate(
    target: Annotated[str, MODEL],
    task: RunTask = None,
    data_dir: RunData = None,
    split: Annotated[Literal["train", "dev", "test"], typer.Option(help="Split to score.")] = "dev",
    retention_config: Annotated[str | None, _RETENTION] = None,
    phase: Annotated[str | None, _PHASE] = None,
    max_length: Annotated[int | None, _MAX_LENGTH] = None,
    output: Annotated[Path | None, typer.Option(help="File for the predictions [default: none].")] = None,
    against_full: Annotated[
        bool, typer.Option(help="Also score a model with elimination with nothing eliminated.")
    ] = True,
    report: Annotated[bool, typer.Option("--report", help="Also show precision, recall and F1 of each class.")] = False,
) -> None:
    """Score a trained model on labeled data, with its own retention configuration, another one, or none.

    A model with elimination is also scored with nothing eliminated; the difference is shown with a 95 % interval.

    Examples:

        bash run.sh evaluate checkpoints/runs/cola/first

        bash run.sh evaluate RUN --retention-config 1.0,0.8,0.6,0.4,0.2,0.1

        bash run.sh evaluate RUN --retention-config none

        bash run.sh evaluate RUN --split test --report

        bash run.sh evaluate RUN/3_retrain/model --task cola --data-dir glue_data/CoLA

        bash run.sh evaluate model.tflite --data-dir tickets.csv
    """
    from power_bert.process_environment import split_threads
    from power_bert.quiet import import_backend

    split_threads(os.environ)
    import_backend()
    from rich.console import Console

    from power_bert.predict.evaluation import evaluate, lines_against_full

    asked, data = task_and_data_for(target, task, data_dir)
    model = _load(target, asked, data, retention_config, phase, max_length)
    console = Console(stderr=True)
    evaluation = evaluate(model, split, console, output)
    for line in [*evaluation.lines(), *(lines_against_full(evaluation, console) if against_full else [])]:
        typer.echo(line)
    if report and evaluation.report:
        typer.echo(f"\n{evaluation.report}", nl=False)


def predict(
    target: Annotated[str, MODEL],
    split: Annotated[
        Literal["train", "dev", "test"] | None,
        typer.Option(help="Split of the task's data to predict, instead of raw text."),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Texts, one per line, pairs with a tab; or a table (.csv, .jsonl, .tsv with a header), whose columns "
            "the output keeps [default: stdin].",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Output file, which appears when it is complete [default: stdout].")
    ] = None,
    form: Annotated[
        Literal["glue", "tsv", "csv", "jsonl"] | None,
        typer.Option(
            "--format",
            help="Output format: glue (index and prediction), tsv, csv or jsonl [default: glue with --split, else that "
            "of --output or of a table, else tsv].",
        ),
    ] = None,
    text_column: Annotated[
        str,
        typer.Option(
            help="Column of the texts in a table, or two columns of text pairs, separated by a comma [default: the "
            "task's, else guessed]."
        ),
    ] = "",
    task: RunTask = None,
    data_dir: RunData = None,
    retention_config: Annotated[str | None, _RETENTION] = None,
    phase: Annotated[str | None, _PHASE] = None,
    max_length: Annotated[int | None, _MAX_LENGTH] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            envvar="THREADS",
            help="CPU threads of an exported file; with --runner beam, of each process that predicts [default: all "
            "cores; with --runner beam 1].",
            min=1,
        ),
    ] = None,
    runner: Runner = "local",
    beam_option: BeamOption = None,
) -> None:
    """Predict labels and probabilities of texts or of a table, or a split of the task's data in GLUE's format.

    Input of any size is read in constant memory.

    Examples:

        echo "What the boys near the girl did buy?" | bash run.sh predict checkpoints/runs/cola/first

        bash run.sh predict RUN --input sentences.txt --output labels.tsv

        bash run.sh predict RUN --input tickets.csv --text-column body --output predicted.csv

        bash run.sh predict model.tflite --input tickets.jsonl

        bash run.sh predict RUN --input pairs.txt --format jsonl --retention-config none

        bash run.sh predict RUN --split test --output CoLA.tsv

        # without TensorFlow
        bash run.sh predict model.onnx --input sentences.txt

        POWER_BERT_VENV=.venv-beam EXTRAS="beam onnx" bash run.sh predict model.onnx --runner beam
        --input tickets.jsonl --output out.jsonl
    """
    from power_bert.beam_jobs import uses_beam
    from power_bert.errors import UserError
    from power_bert.process_environment import split_threads
    from power_bert.quiet import import_backend

    if split and input_file:
        raise UserError("--split predicts the task's data and --input raw text; give one of them")
    if form == "glue" and not split:
        raise UserError("--format glue is for --split; raw text gives tsv, csv or jsonl")
    if runner == "beam" and not is_exported(target):
        raise UserError(
            f"{target}: --runner beam predicts with exported files. Export it first: bash run.sh export {target} "
            "--format onnx --out model.onnx"
        )
    beam = uses_beam(runner, beam_option or [], "predict", '"beam onnx"')
    if beam and not input_file:
        raise UserError("--runner beam predicts a file of texts; give it as --input")
    from rich.console import Console

    if not is_exported(target):
        split_threads(os.environ)
        import_backend()
    from power_bert.predict.prediction_output import predict_raw_texts, predict_split, result_chunks
    from power_bert.text.glue_tasks import get_task

    # TASK and DATA_DIR of the environment describe a data set and do not apply to raw text.
    asked, data = task_and_data_for(target, task, data_dir) if split else (get_task(task) if task else None, None)
    model = _load(target, asked, data, retention_config, phase, max_length, threads)
    console = Console(stderr=True)
    if split:
        predict_split(model, split, form or "glue", output, console)
    else:
        run: ChunkRunner = result_chunks
        if beam:
            from power_bert.predict.beam_prediction import beam_runner

            run = beam_runner(Path(target), output, threads or 1, beam_option or [])
        predict_raw_texts(model, input_file, form, output, console, parse_names(text_column), run)


def explain(
    target: Annotated[str, TARGET],
    text: Annotated[str, typer.Argument(help="Text to predict.", metavar="TEXT", show_default=False)],
    second: Annotated[
        str | None, typer.Argument(help="Second text, for a task of text pairs.", metavar="SECOND", show_default=False)
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG file to write [default: none].")] = None,
    html: Annotated[Path | None, typer.Option(help="Self-contained HTML file to write [default: none].")] = None,
    retention_config: Annotated[str | None, _RETENTION] = None,
    phase: Annotated[str | None, _PHASE] = None,
    max_length: Annotated[int | None, _MAX_LENGTH] = None,
) -> None:
    """Predict a text and show which of its tokens are left after each encoder block.

    The terminal shows a dot for each dropped token. The picture and the page shade each token by the block that drops
    it. The fused token of a model trained with FUSE=1 is neither shown nor counted.

    Examples:

        bash run.sh explain RUN "A gorgeous, witty, seductive movie."

        bash run.sh explain RUN "How old are you?" "What is your age?" --picture tokens.png --html tokens.html
    """
    from power_bert.errors import UserError
    from power_bert.quiet import import_backend

    if is_exported(target):
        raise UserError(
            f"{target}: an exported file gives probabilities, not the tokens that its blocks keep; give the run or "
            "checkpoint that it was exported from"
        )
    import_backend()
    from power_bert.predict.surviving_tokens import explain_text
    from power_bert.reports.explanation import (
        explanation_html,
        explanation_lines,
        explanation_picture,
        wrapped_prediction,
    )
    from power_bert.result_tables import WIDTH, wrap_value
    from power_bert.runs.trained_model import load_trained_model
    from power_bert.storage.files import atomic_write_bytes

    model = load_trained_model(target, None, None, retention_config, phase, max_length)
    explanation = explain_text(model, text, second)
    lines = [
        f"model       {model.source}",
        *wrap_value("retention   ", model.retention),
        *wrapped_prediction(explanation, "prediction  ", WIDTH, " " * 12),
        *([f"truncated   to {model.max_length} tokens"] if explanation.truncated else []),
        "",
        *explanation_lines(explanation),
    ]
    typer.echo("\n".join(lines))
    texts = text if second is None else f"{text} / {second}"
    for path, content in (
        (picture, lambda: explanation_picture(explanation)),
        (html, lambda: explanation_html(explanation, texts, model.source).encode()),
    ):
        if path is not None:
            try:
                atomic_write_bytes(path, content())
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror}); give another file") from None


def _load(
    target: str,
    task: Task | None,
    data_dir: str | None,
    retention_config: str | None,
    phase: str | None,
    max_length: int | None,
    threads: int | None = None,
) -> TrainedModel | UsableModel:
    """Load what a target names: an exported file, or a run or checkpoint."""
    from power_bert.errors import UserError

    if not is_exported(target):
        from power_bert.runs.trained_model import load_trained_model

        return load_trained_model(target, task, data_dir, retention_config, phase, max_length)
    if retention_config or phase or max_length:
        raise UserError(
            f"{target}: retention configuration and max length of an exported file are fixed, and it has no phases; "
            "leave --retention-config, --max-length and --phase out, or give the run"
        )
    from power_bert.export.exported_model import load_exported

    return load_exported(Path(target), task, data_dir, threads)
