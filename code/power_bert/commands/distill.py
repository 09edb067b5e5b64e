"""Commands for distillation, ensembles and comparisons of runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from power_bert.commands.run_options import RunData, Threads, task_and_data_for
from power_bert.commands.shared_options import LOGITS_HELP, RUN_VARIABLES, OptionGroup, Wait, takes_settings
from power_bert.config.distillation import Distillation, resolve_distillation
from power_bert.config.experiment import Experiment, RunFlags
from power_bert.config.pretraining import read_toml
from power_bert.config.settings import check_names, check_setting
from power_bert.config.shared_settings import LABELED_NAMES, TASK_NAMES
from power_bert.config.values import parse_list, parse_names
from power_bert.model.student_kinds import STUDENT_NAMES


@takes_settings(given=OptionGroup(Distillation), flags=OptionGroup(RunFlags, only=("pred_glue", "resume")))
def distill(
    given: dict[str, Any],
    flags: dict[str, Any],
    logits: Annotated[Path | None, typer.Option(help=LOGITS_HELP)] = None,
    wait: Wait = False,
) -> None:
    """Distill one or several teachers into a small student, or train the student without a teacher.

    The teachers' logits are computed once and cached for later students. The same command resumes an interrupted run.

    Examples:

        # a teacher
        bash run.sh run --task emotion --fine-tune-only --output-dir teacher

        bash run.sh distill --teacher teacher --task emotion --student bilstm --out student

        # no-distillation baseline
        bash run.sh distill --teacher none --task emotion --student bilstm

        bash run.sh distill --teacher one --teacher two --weighting confidence --task sst-2 --student linear

        bash run.sh distill --teacher RUN --task sst-2 --student bert-3x384 --start teacher --cosine-weight 1

        bash run.sh distill --teacher RUN --task mrpc --student bert-tiny --retention-config 1.0,0.4

        bash run.sh distill --teacher RUN --task sst-2 --augment mask,class,ngram --temperature linear:4:1

        # also: evaluate, predict, compare
        bash run.sh export student --out student.tflite
    """
    from power_bert.quiet import import_backend
    from power_bert.storage.locks import one_writer

    teachers = parse_teachers(given["teachers"] or [])
    options = tuple(given["student_options"] or ())
    asked, resolved = (
        RunFlags(**flags),
        resolve_distillation({**given, "teachers": teachers, "student_options": options}),
    )
    with one_writer(resolved.output_dir, wait):
        import_backend()
        from power_bert.distill import run_distillation as driver
        from power_bert.folders import LOGITS_FOLDER
        from power_bert.reports.finish_run import finish_with_card

        run_dir = driver.distill(resolved, asked.resume, None, asked.pred_glue, logits or LOGITS_FOLDER)
        finish_with_card(run_dir)


def parse_teachers(given: list[str]) -> tuple[str, ...]:
    """Return the given teachers; "none" stands for no teacher.

    Raises:
        UserError: The option is missing, or "none" is given together with a teacher.
    """
    from power_bert.errors import UserError

    if not given:
        raise UserError("--teacher is missing: give a teacher, or `--teacher none` to train the student on the labels")
    if "none" not in given:
        return tuple(given)
    if len(given) > 1:
        raise UserError(f"--teacher {', '.join(given)}: 'none' stands for no teacher; leave it or the others out")
    return ()


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Two or more finished runs of one task.")],
    out: Annotated[Path, typer.Option(help="Run folder of the ensemble.")],
    pred_glue: Annotated[bool, typer.Option("--pred-glue/--no-pred-glue", help="Predict the test data.")] = True,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Resume an interrupted run; no-resume renames an earlier run in the same folder.",
        ),
    ] = True,
    data_dir: RunData = None,
    wait: Wait = False,
) -> None:
    """Combine several models of one task into an ensemble, a run that evaluate, predict, export and compare accept.

    Example:

        bash run.sh ensemble student0 student1 student2 --out ensemble
    """
    from rich.console import Console

    from power_bert.quiet import import_backend
    from power_bert.storage.locks import one_writer

    with one_writer(out, wait):
        import_backend()
        from power_bert.distill.ensemble_run import make_ensemble
        from power_bert.reports.finish_run import finish_with_card

        console, data = Console(highlight=False, soft_wrap=True), task_and_data_for(runs[0], None, data_dir)[1]
        finish_with_card(make_ensemble(runs, out, console, pred_glue, resume, data))


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs of one task, of any kind.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for comparison.txt, .csv and .png [default: only shown].")
    ] = None,
    split: Annotated[
        Literal["train", "dev", "test"] | None,
        typer.Option(help="Split to score [default: test if it has labels, else dev]."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Teacher of the label agreement [default: the first one that a run was distilled from]."),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            help="Sequence length of the timed input, in tokens [default: the max length of each run].", min=5
        ),
    ] = None,
    quantize: Annotated[
        Literal["none", "float16", "dynamic", "int8"], typer.Option(help="Quantization of the exported files.")
    ] = "none",
    threads: Threads = 2,
    timed_runs: Annotated[int, typer.Option(help="Number of timed calls of each file.", min=1)] = 200,
    data_dir: RunData = None,
    logits: Annotated[Path | None, typer.Option(help=LOGITS_HELP)] = None,
) -> None:
    """Compare runs: scores, model size, latency, throughput, agreement with the teacher and calibration error.

    Runs that differ only in the seed share a row: mean ± standard deviation.

    Examples:

        bash run.sh compare teacher student0 student1 student2 --out comparison

        bash run.sh compare teacher student --quantize dynamic --threads 1 --split dev
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.experiments.compare_runs import Options, compare_runs
    from power_bert.experiments.comparison_report import comparison_text, write_comparison
    from power_bert.folders import LOGITS_FOLDER

    console = Console(highlight=False, soft_wrap=True)
    data = task_and_data_for(runs[0], None, data_dir)[1]
    options = Options(split, teacher, length, quantize, threads, timed_runs, data)
    figures = compare_runs(runs, options, console, logits or LOGITS_FOLDER)
    console.print(write_comparison(out, figures) if out else comparison_text(figures), markup=False)


def linear_baselines(
    task: Annotated[str, typer.Option(help=f"Task: {TASK_NAMES}; {LABELED_NAMES}.")],
    data_dir: Annotated[str | None, typer.Option(help="Folder of the data [default: as for run.sh].")] = None,
    split: Annotated[
        Literal["dev", "test"] | None, typer.Option(help="Split to score [default: test if it has labels, else dev].")
    ] = None,
    train_examples: Annotated[
        int | None, typer.Option(help="Number of training examples to use, selected at random [default: all].", min=1)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for linear_baselines.txt and .csv [default: only shown].")
    ] = None,
) -> None:
    """Score least squares and logistic regression on TF-IDF (scikit-learn), the baselines of linear students.

    Example:

        bash run.sh linear-baselines --task 20newsgroups --data-dir 20news-bydate.tar.gz
    """
    from power_bert.config.experiment import complete_task
    from power_bert.experiments.linear_baselines import baselines_text, score_linear_baselines, write_baselines
    from power_bert.text.examples import scored_split
    from power_bert.text.glue_tasks import get_task

    values: dict[str, Any] = {"task": task, **({"data_dir": data_dir} if data_dir else {})}
    complete_task(values)
    definition = get_task(values["task"])
    scored = split or scored_split(definition, values["data_dir"])
    scores = score_linear_baselines(definition, values["data_dir"], scored, train_examples)
    typer.echo(baselines_text(scores, scored), nl=False)
    if out:
        typer.echo(write_baselines(out, scores, scored))


def _take_from_file(context: typer.Context, config: Path | None) -> Path | None:
    """Make the values of a TOML file the defaults of the other options."""
    if config is not None and not context.resilient_parsing:
        values = read_toml(config)
        check_names(values, [option.name for option in context.command.params if option.name], f"{config}: ")
        context.default_map = values
    return config


_OF_STUDENTS = ("train_examples", "epochs", "epsilon", "max_length", "start", "loss", "alpha", "temperature")


@takes_settings(
    of_students=OptionGroup(Distillation, only=_OF_STUDENTS, whose="Students: "),
    of_teachers=OptionGroup(
        Experiment,
        only=("epochs", "lr_bert", "max_length"),
        prefix="teacher_",
        whose="Teachers: ",
        defaults={"epochs": "3"},
    ),
)
def measure_distillation(
    of_students: dict[str, Any],
    of_teachers: dict[str, Any],
    tasks: Annotated[
        list[str],
        typer.Argument(help="Tasks and their data folders, such as emotion=data/emotion.", metavar="TASK=FOLDER…"),
    ],
    out: Annotated[Path, typer.Option(help="Folder of all runs and of the comparisons.")],
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with these options; options given on the command line replace them.",
            is_eager=True,
            callback=_take_from_file,
        ),
    ] = None,
    students: Annotated[
        str, typer.Option(help=f"Students, separated by commas: {', '.join(STUDENT_NAMES)}.")
    ] = "bert-tiny,bilstm,cnn,linear,mlp",
    ways: Annotated[
        str,
        typer.Option(help="Variants, separated by commas: no_teacher, distilled, two_teachers, augmented, unlabelled."),
    ] = "no_teacher,distilled,two_teachers,augmented",
    seeds: Annotated[str, typer.Option(help="Seeds of the students, separated by commas.")] = "0,1,2",
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            help="Finished runs to use as teachers: TASK=RUN or TASK=RUN,RUN; repeatable [default: new ones]."
        ),
    ] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(help="Unlabeled texts for the variant unlabelled, as for distill: TASK=FILE; repeatable."),
    ] = None,
    augment_copies: Annotated[int, typer.Option(help="Augmented texts per training text.", min=1)] = 2,
    wait: Wait = False,
) -> None:
    """Measure distillation: students without a teacher, with one, with two, and with augmentation.

    Each run has its own run directory. The same command resumes an interrupted measurement; other students or variants
    are added to it. At the end all finished runs of each task are compared (OUT/TASK/comparison), together with the
    linear baselines and the gain of each student over the student without a teacher and over least squares (gains.txt,
    .csv). OUT/summary.txt shows all tasks. Augmented runs have fewer epochs, so that the number of training steps stays
    about the same. The variant unlabelled also learns the teacher's logits of the texts of a file.

    Examples:

        bash run.sh measure-distillation emotion=data/emotion --out checkpoints/distillation

        bash run.sh measure-distillation 20newsgroups=20news-bydate.tar.gz --students linear,mlp --out news

        bash run.sh measure-distillation emotion=data/emotion --students bilstm --start checkpoints/all-MiniLM-L6-v2
        --out started

        bash run.sh measure-distillation emotion=data/emotion --config recipes/distillation/emotion_bilstm.toml
        --out mse

        bash run.sh measure-distillation emotion=data/emotion --students linear --ways no_teacher,augmented --epochs 30
        --alpha 0.7 --temperature 0.5 --out linear

        bash run.sh measure-distillation massive=data/massive_en-US --teacher-epochs 6 --teacher-lr-bert 2.5e-4
        --out massive

        bash run.sh measure-distillation sst-2=data/SST-2 --teachers sst-2=RUN --ways no_teacher,distilled --out sst-2

        bash run.sh measure-distillation emotion=data/emotion --ways unlabelled --unlabelled emotion=texts.txt
        --epochs 2 --out study
    """
    from rich.console import Console

    from power_bert.child_processes import run_as_process
    from power_bert.experiments.distillation_study import (
        DistillationStudy,
        parse_tasks,
        parse_teachers_of_tasks,
        parse_unlabelled,
        parse_ways,
        run_distillation_study,
    )
    from power_bert.model.student_kinds import kind_of
    from power_bert.storage.locks import one_writer

    names = parse_names(students)
    for name in names:
        kind_of(name)
    given = {name: value for name, value in of_students.items() if value is not None}
    for name, value in given.items():
        check_setting(Distillation, name, value)
    for name, value in of_teachers.items():
        if value is not None:
            check_setting(Experiment, name, value)
            given[f"teacher_{name}"] = value
    chosen = tuple(parse_list("--seeds", seeds, int))
    for seed in chosen:
        check_setting(Distillation, "seed", seed)
    study = DistillationStudy(
        tasks=parse_tasks(tasks),
        students=names,
        seeds=chosen,
        out=out.absolute(),
        ways=parse_ways(ways),
        teachers=parse_teachers_of_tasks(teachers or []),
        unlabelled=parse_unlabelled(unlabelled or []),
        **given,
        augment_copies=augment_copies,
    )
    # Only the teachers' runs read settings of run.sh from the environment; they must not get those of this call.
    environment = {name: value for name, value in os.environ.items() if name not in RUN_VARIABLES}
    console = Console(highlight=False, soft_wrap=True)
    with one_writer(study.out, wait):
        errors = run_distillation_study(study, console, lambda arguments: run_as_process(arguments, environment))
    for name, error in errors.items():
        typer.echo(f"failed: {name}: {error}", err=True)
    if errors:
        raise typer.Exit(1)
