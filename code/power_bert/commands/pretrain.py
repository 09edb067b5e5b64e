"""Commands for pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from power_bert.commands.shared_options import OptionGroup, Wait, takes_settings
from power_bert.config.pretraining import PretrainingSettings, read_toml, resolve_settings
from power_bert.config.settings import check_names, declared_settings


@takes_settings(given=OptionGroup(PretrainingSettings))
def pretrain(
    given: dict[str, Any],
    out: Annotated[
        Path, typer.Option(help="Folder of the pre-training: model, checkpoints in other formats, metrics.")
    ],
    config: Annotated[
        Path | None, typer.Option(help="TOML file with these settings; options on the command line override it.")
    ] = None,
    wandb: Annotated[str | None, typer.Option(help="Project of Weights & Biases to report to.")] = None,
    wait: Wait = False,
) -> None:
    """Pre-train a BERT by masked language modeling on a prepared corpus.

    Each result is a CHECKPOINT_PATH of run.sh: OUT/model (preset of this project), OUT/hugging_face or
    OUT/tf1/bert_model.ckpt. The same command resumes an interrupted call.

    Examples:

        bash run.sh pretrain --corpus corpus --layers 2 --hidden 128 --heads 2 --steps 10000 --out checkpoints/tiny

        bash run.sh pretrain --config recipes/bert_tiny.toml --corpus corpus --similarity gaussian --out checkpoints/g

        TASK=cola DATA_DIR=glue_data/CoLA CHECKPOINT_PATH=checkpoints/tiny/model bash run.sh
    """
    from power_bert.quiet import import_backend
    from power_bert.storage.locks import one_writer

    in_file = read_toml(config) if config else {}
    check_names(in_file, declared_settings(PretrainingSettings), f"{config}: ")
    settings = resolve_settings({**in_file, **{name: value for name, value in given.items() if value is not None}})
    with one_writer(out, wait):
        import_backend()
        from power_bert.pretrain import run_pretraining as driver

        driver.pretrain(settings, out, wandb=wandb)


def study(
    definition: Annotated[
        Path, typer.Argument(help="TOML file; those shipped with the program are recipes/NAME.toml.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the study [default: checkpoints/studies/NAME].")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Text file, folder or tfds:NAME in place of [corpus] sources; repeatable.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="GLUE folder in place of [fine_tuning] data_dir, such as glue_data.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Number of cells that run at a time, each on an equal part of the cores.")
    ] = 1,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Report the finished cells without running any.")
    ] = False,
    wait: Wait = False,
) -> None:
    """Pre-train and fine-tune every cell of a grid of settings, and write a table, CSV files and a picture.

    Finished cells are kept. A cell that fails does not stop the others, but the exit status is then 1.

    Examples:

        bash run.sh study recipes/similarity_width.toml --jobs 2

        bash run.sh study recipes/similarity_width_small.toml --source books/ --data-dir glue_data

        bash run.sh study mine.toml --out checkpoints/studies/mine --report-only
    """
    from rich.console import Console

    from power_bert.errors import UserError
    from power_bert.experiments.similarity_study.run_study import run_study
    from power_bert.experiments.similarity_study.study_definition import resolve_study
    from power_bert.experiments.similarity_study.study_folder import StudyDir
    from power_bert.experiments.similarity_study.study_report import write_report
    from power_bert.experiments.similarity_study.study_results import read_results
    from power_bert.folders import STUDIES_FOLDER
    from power_bert.storage.locks import one_writer

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
