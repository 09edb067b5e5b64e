"""Commands that pre-train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from power_bert.commands.options import Wait

_NO_SETTINGS = ("out", "config", "wandb", "wait")


def pretrain(
    out: Annotated[Path, typer.Option(help="folder of the pre-training: model, checkpoints for others, figures")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file with these settings; options given here come before it")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="folder of a prepared corpus (prepare-corpus)")] = None,
    layers: Annotated[int | None, typer.Option(help="encoder blocks; default 2")] = None,
    hidden: Annotated[int | None, typer.Option(help="width; default 128")] = None,
    heads: Annotated[int | None, typer.Option(help="attention heads; default: one a width of 64")] = None,
    intermediate: Annotated[int | None, typer.Option(help="width of the feed-forward; default four times")] = None,
    positions: Annotated[int | None, typer.Option(help="longest text ever; default: the corpus' length")] = None,
    similarity: Annotated[
        str | None, typer.Option(help="attention: dot, cosine, euclidean or gaussian; default dot")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="updates; default 10000")] = None,
    batch: Annotated[int | None, typer.Option(help="records of an update; default 64")] = None,
    accumulate: Annotated[int | None, typer.Option(help="parts a batch is taken in, to save memory; default 1")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="the highest; default 1e-3")] = None,
    schedule: Annotated[str | None, typer.Option(help="linear or one-cycle; default linear")] = None,
    warmup: Annotated[float | None, typer.Option(help="share of the updates with rising rate; default 0.1")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="decoupled; default 0.01")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="largest norm of the gradient; default 1")] = None,
    masking_rate: Annotated[float | None, typer.Option(help="share of masked tokens; default 0.15")] = None,
    whole_words: Annotated[
        bool | None, typer.Option("--whole-words/--word-pieces", help="mask whole words; default: word pieces")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="while pre-training; default 0")] = None,
    initializer_range: Annotated[
        float | None, typer.Option(help="standard deviation of the random weights; default 1 / √hidden")
    ] = None,
    position_start: Annotated[
        str | None, typer.Option(help="the position table starts sinusoidal or random; default sinusoidal")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16 (mixed); default float32")] = None,
    seed: Annotated[int | None, typer.Option(help="of weights, order, masks and dropout; default 0")] = None,
    interval: Annotated[int | None, typer.Option(help="updates between evaluations; default 500")] = None,
    evaluation_records: Annotated[int | None, typer.Option(help="of the test split, at most; default 2000")] = None,
    devices: Annotated[int | None, typer.Option(help="on which a batch is spread; default 1")] = None,
    wandb: Annotated[str | None, typer.Option(help="project of Weights & Biases to report to")] = None,
    wait: Wait = False,
) -> None:
    """Pre-train a BERT by masked language modelling on a prepared corpus.

    The result goes straight into run.sh as CHECKPOINT_PATH: OUT/model (this project's form), OUT/hugging_face and
    OUT/tf1/bert_model.ckpt. A call that was killed goes on when the same command is given again.

    Examples:

        bash run.sh pretrain --corpus corpus --layers 2 --hidden 128 --heads 2 --steps 10000 --out checkpoints/tiny

        bash run.sh pretrain --config configs/bert_tiny.toml --corpus corpus --similarity gaussian --out checkpoints/g

        TASK=cola DATA_DIR=glue_data/CoLA CHECKPOINT_PATH=checkpoints/tiny/model bash run.sh
    """
    given = dict(locals())  # every option is a setting of the same name, but for a few
    from power_bert.locks import one_writer
    from power_bert.pretrain.settings import check_names, read_toml, resolve_settings
    from power_bert.quiet import import_backend

    options = {name: value for name, value in given.items() if value is not None and name not in _NO_SETTINGS}
    if corpus is not None:
        options["corpus"] = str(corpus)
    in_file = read_toml(config) if config else {}
    check_names(in_file, str(config))
    settings = resolve_settings({**in_file, **options})
    with one_writer(out, wait):
        import_backend()
        from power_bert.pretrain import driver

        driver.pretrain(settings, out, wandb=wandb)


def study(
    definition: Annotated[Path, typer.Argument(help="TOML file; the shipped ones are found by configs/NAME.toml")],
    out: Annotated[Path | None, typer.Option(help="folder of the study; default: checkpoints/studies/NAME")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="text file, folder or tfds:NAME in place of [corpus] sources; repeatable")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="GLUE folder in place of [fine_tuning] data_dir, such as glue_data")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="cells at a time, each with its share of the cores")] = 1,
    report_only: Annotated[bool, typer.Option("--report-only", help="run nothing; report what is there")] = False,
    wait: Wait = False,
) -> None:
    """Run a grid of pre-trainings with fine-tunings; end with a table, CSV files and a picture.

    What is done is not done again; a cell that fails does not stop the others, but makes the exit status 1.

    Examples:

        bash run.sh study configs/similarity_width.toml --jobs 2

        bash run.sh study configs/similarity_width_small.toml --source books/ --data-dir glue_data

        bash run.sh study mine.toml --out checkpoints/studies/mine --report-only
    """
    from rich.console import Console

    from power_bert.errors import UserError
    from power_bert.folders import STUDIES_FOLDER
    from power_bert.locks import one_writer
    from power_bert.pretrain.settings import read_toml
    from power_bert.study.definition import resolve_study
    from power_bert.study.folder import StudyDir
    from power_bert.study.report import write_report
    from power_bert.study.results import read_results
    from power_bert.study.running import run_study

    folder = StudyDir((out or STUDIES_FOLDER / definition.stem).absolute())
    console = Console(highlight=False, soft_wrap=True)
    values = read_toml(definition)
    if source:
        values.setdefault("corpus", {})["sources"] = source
    if data_dir:
        values.setdefault("fine_tuning", {})["data_dir"] = data_dir
    resolved = resolve_study(values, str(definition))
    if report_only and not folder.definition.is_file():
        raise UserError(
            f"{folder.path}: no study there (no {folder.definition.name}); leave --report-only out to run it"
        )
    with one_writer(folder.path, wait):
        errors = {} if report_only else run_study(resolved, folder, console, jobs)
        console.print(write_report(resolved, folder, read_results(resolved, folder), errors), markup=False)
    console.print(f"{folder.summary}  {folder.results_csv}  {folder.curves_csv}  {folder.picture}", markup=False)
    if errors:
        raise typer.Exit(1)
