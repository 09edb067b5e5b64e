"""Command that trains: `run`, the main job."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from power_bert.commands.shared_options import RUN_VARIABLES, OptionGroup, Wait, takes_settings
from power_bert.config.experiment import Experiment, RunFlags, resolve_experiment
from power_bert.process_environment import split_threads, unknown_settings


@takes_settings(
    given=OptionGroup(Experiment, has_variables=True),
    flags=OptionGroup(RunFlags, has_variables=True),
)
def run(
    given: dict[str, Any],
    flags: dict[str, Any],
    fine_tune_only: Annotated[
        bool, typer.Option("--fine-tune-only", help="Run phase 1 only: a BERT without elimination, such as a teacher.")
    ] = False,
    wait: Wait = False,
) -> None:
    """Run all three phases on one task and print the summary.

    Examples:

        # a generated sample, the default settings
        bash run.sh

        # after: bash run.sh download mrpc
        TASK=mrpc bash run.sh

        # your own data: columns guessed, rows split
        DATA_DIR=tickets.csv bash run.sh

        TASK=custom DATA_DIR=my_data TEXT_COLUMNS=title,body LABEL_COLUMN=topic bash run.sh

        bash run.sh run --task cola --data-dir glue_data/CoLA --lambda 0.003 --epoch 3

        # a teacher for bash run.sh distill
        bash run.sh run --task emotion --fine-tune-only --output-dir teacher

        # also trains the baseline; works for a finished run, too
        BASELINE=1 bash run.sh

        # score a run with another configuration
        EVAL_ONLY=1 RETENTION_CONFIG=1.0,0.8,0.6,0.4,0.2,0.1 bash run.sh
    """
    from power_bert.quiet import import_backend
    from power_bert.runs.run_folder import choose_folder, finished_run
    from power_bert.storage.locks import one_writer

    _name_unknown_settings()
    asked = RunFlags(**flags)
    only = asked.eval_only or asked.predict_only
    experiment = resolve_experiment({**given, "retention_config": None} if only else given)
    if not given["output_dir"]:
        experiment = choose_folder(experiment, only_existing=only)
    if only:
        split_threads(os.environ)
        import_backend()
        from power_bert.predict.without_training import use_trained

        use_trained(
            experiment,
            given["data_dir"],
            given["output_dir"],
            given["retention_config"],
            asked.eval_only,
            asked.predict_only,
            given["max_length"],
        )
    elif (
        asked.resume and not fine_tune_only and (finished := finished_run(experiment, asked.pred_glue, asked.baseline))
    ):
        typer.echo(f"everything is done already\n\n{finished.summary.read_text(encoding='utf-8')}", nl=False)
    else:
        with one_writer(experiment.output_dir, wait):
            import_backend()
            _train(experiment, asked, fine_tune_only)


def _train(experiment: Experiment, asked: RunFlags, fine_tune_only: bool) -> None:
    from power_bert.reports.finish_run import finish_run, finish_with_card
    from power_bert.train.run_experiment import run_experiment

    if fine_tune_only:
        finish_with_card(run_experiment(experiment, asked.resume, predict_test=asked.pred_glue, only_fine_tune=True))
    else:
        finish_run(run_experiment(experiment, asked.resume, predict_test=asked.pred_glue, baseline=asked.baseline))


def _name_unknown_settings() -> None:
    """Warn of environment variables that look like a misspelled setting, because they have no effect."""
    for name, meant in unknown_settings(os.environ, RUN_VARIABLES | {"THREADS", "BACKEND", "EXTRAS"}).items():
        typer.echo(f"note: {name} is not a setting and has no effect; did you mean {meant}?", err=True)
