"""Commands that distil, and that compare what came of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from power_bert.commands.options import LABELLED_NAMES, LOGITS_HELP, TASK_NAMES, Wait, variables_of
from power_bert.commands.training import run

_NO_SETTINGS = ("resume", "pred_glue", "teacher", "set_", "augment", "out", "logits", "wait")
_STUDENTS = "bert-tiny, bert-mini, bert-small, bert-medium, bert-LxH, bilstm, cnn, linear, mlp"
_SCHEDULE = "a number, or how it changes: linear:4:1, cosine:1:0"


def distill(
    student: Annotated[str, typer.Option(help=_STUDENTS)] = "bilstm",
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="run folder, keras-hub text classifier (preset or folder) or Hugging Face sequence classifier; may be "
            "given several times; none: the student alone, on the labels"
        ),
    ] = None,
    task: Annotated[str, typer.Option(help=f"{TASK_NAMES}; {LABELLED_NAMES}; or custom: your own data")] = "cola",
    data_dir: Annotated[str | None, typer.Option(help="folder of the data, or tfds:NAME; default: as run.sh")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder; default: checkpoints/runs/TASK/distill-…")] = None,
    epochs: Annotated[int | None, typer.Option(help="over all texts; default: the student's")] = None,
    batch_size: Annotated[int | None, typer.Option(help="examples of a batch; default 32")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="the highest; default: the student's")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="word pieces at most; default: the student's or task's")
    ] = None,
    teacher_max_length: Annotated[int | None, typer.Option(help="default: what the teacher was trained with")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="an argument of the student, such as units=150; several times")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="random (default), teacher, or a checkpoint: where weights or embeddings come from"),
    ] = None,
    start_blocks: Annotated[str | None, typer.Option(help="of what a BERT starts from: 2,4,6; default: spread")] = None,
    vocabulary: Annotated[
        str | None, typer.Option(help="checkpoint or vocab.txt of the tokenizer; default: all-MiniLM-L6-v2's")
    ] = None,
    retention_config: Annotated[
        str | None, typer.Option(help="word-vectors that the blocks of a BERT keep: 1.0,0.5 or 64,8")
    ] = None,
    sparsity: Annotated[float | None, typer.Option(help="prune: share of each large weight that becomes 0")] = None,
    block: Annotated[str | None, typer.Option(help="with --sparsity: rows x columns that become 0 together")] = None,
    clusters: Annotated[int | None, typer.Option(help="different values that each large weight ends with")] = None,
    alpha: Annotated[
        str | None, typer.Option(help=f"weight of the labels against the teachers; {_SCHEDULE}; default: the student's")
    ] = None,
    temperature: Annotated[
        str | None, typer.Option(help=f"of soft labels; {_SCHEDULE}; default: the student's")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="kl: soft labels (default); mse: logits")] = None,
    weighting: Annotated[
        str | None, typer.Option(help="of several teachers: equal (default), given, confidence or loss")
    ] = None,
    teacher_weights: Annotated[str | None, typer.Option(help="with --weighting given: 0.7,0.3")] = None,
    hidden_weight: Annotated[str | None, typer.Option(help="of the difference of hidden states; default 0")] = None,
    cosine_weight: Annotated[str | None, typer.Option(help="of the cosine of hidden states; default 0")] = None,
    attention_weight: Annotated[str | None, typer.Option(help="of the difference of attention; default 0")] = None,
    attention_loss: Annotated[str | None, typer.Option(help="mse (default) or kl")] = None,
    layer_map: Annotated[
        str | None, typer.Option(help="blocks that are compared, student:teacher: 1:3,2:6; default: spread")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(help="further texts for the teachers to label: one a line, pairs with a tab; or .csv or .jsonl"),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(help="with commas: mask, class (words by others of their part of speech), ngram, lm (masked LM)"),
    ] = None,
    augment_seed: Annotated[
        int | None, typer.Option(help="of augmentation: give one to several seeds, and the texts are labelled once")
    ] = None,
    augment_copies: Annotated[int | None, typer.Option(help="further texts of each training text; default 5")] = None,
    mask_rate: Annotated[float | None, typer.Option(help="share of words that are masked; default 0.1")] = None,
    class_rate: Annotated[float | None, typer.Option(help="share replaced within their class; default 0.1")] = None,
    ngram_rate: Annotated[float | None, typer.Option(help="share of texts cut to an n-gram; default 0.25")] = None,
    lm_rate: Annotated[float | None, typer.Option(help="share replaced by the language model; default 0.15")] = None,
    lm_checkpoint: Annotated[str | None, typer.Option(help="of --augment lm: checkpoint with its head")] = None,
    train_examples: Annotated[
        int | None, typer.Option(help="training examples, chosen at random; default: all")
    ] = None,
    seed: Annotated[int, typer.Option(help="of weights, order, dropout and augmentation")] = 0,
    warmup: Annotated[float | None, typer.Option(help="share of updates with rising rate; default 0.1")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="decoupled; default 0.01")] = None,
    epsilon: Annotated[float | None, typer.Option(help="of AdamW; default: the student's")] = None,
    dropout: Annotated[float | None, typer.Option(help="before the student's head; default 0.1")] = None,
    text_columns: Annotated[str | None, typer.Option(help="custom task: column of texts, or two with a comma")] = None,
    label_column: Annotated[str | None, typer.Option(help="custom task: column of labels or scores")] = None,
    labels: Annotated[str | None, typer.Option(help="custom task: the labels, with commas")] = None,
    metric: Annotated[str | None, typer.Option(help="custom task: accuracy, macro_f1, spearman or pearson")] = None,
    logits: Annotated[Path | None, typer.Option(help=LOGITS_HELP)] = None,
    pred_glue: Annotated[bool, typer.Option("--pred-glue/--no-pred-glue", help="predict the test data")] = True,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="go on with an interrupted run")] = True,
    wait: Wait = False,
) -> None:
    """Train a small student on what one or several teachers say, or alone on the labels; a killed run goes on.

    The teachers' logits are computed once and kept: a second student starts at once.

    Examples:

        bash run.sh run --task emotion --fine-tune-only --output-dir teacher     # a teacher

        bash run.sh distill --teacher teacher --task emotion --student bilstm --out student

        bash run.sh distill --teacher none --task emotion --student bilstm       # the same student alone

        bash run.sh distill --teacher one --teacher two --weighting confidence --task sst-2 --student linear

        bash run.sh distill --teacher RUN --task sst-2 --student bert-3x384 --start teacher --cosine-weight 1

        bash run.sh distill --teacher RUN --task mrpc --student bert-tiny --retention-config 1.0,0.4

        bash run.sh distill --teacher RUN --task sst-2 --augment mask,class,ngram --temperature linear:4:1

        bash run.sh export student --out student.tflite        # evaluate, predict and compare take it, too
    """
    given = dict(locals())  # every option is a setting of the same name, but for a few
    from power_bert.distill_config import resolve_distillation
    from power_bert.locks import one_writer
    from power_bert.quiet import import_backend

    settings: dict[str, Any] = {name: value for name, value in given.items() if name not in _NO_SETTINGS}
    settings["teachers"] = parse_teachers(teacher or [])
    settings["student_options"] = tuple(set_ or ())
    settings["augment"] = _listed(augment or "")
    settings["output_dir"] = str(out or "")
    settings["unlabelled"] = str(unlabelled or "")
    resolved = resolve_distillation(settings)
    with one_writer(resolved.output_dir, wait):
        import_backend()
        from power_bert.analysis.model_card import finish_with_card
        from power_bert.distill import driver
        from power_bert.folders import LOGITS_FOLDER

        finish_with_card(driver.distill(resolved, resume, None, pred_glue, logits or LOGITS_FOLDER))


def parse_teachers(given: list[str]) -> tuple[str, ...]:
    """Teachers as given; "none" stands for no teacher.

    Raises:
        UserError: "none" beside a teacher, or no word about teachers at all.
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
    runs: Annotated[list[Path], typer.Argument(help="two or more finished runs of one task")],
    out: Annotated[Path, typer.Option(help="run folder of the ensemble")],
    pred_glue: Annotated[bool, typer.Option("--pred-glue/--no-pred-glue", help="predict the test data")] = True,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="no-resume: set another run in the same folder aside")
    ] = True,
    wait: Wait = False,
) -> None:
    """Average several models of one task in one model: a run that evaluate, predict, export and compare take.

    Example:

        bash run.sh ensemble student0 student1 student2 --out ensemble
    """
    from rich.console import Console

    from power_bert.locks import one_writer
    from power_bert.quiet import import_backend

    with one_writer(out, wait):
        import_backend()
        from power_bert.analysis.model_card import finish_with_card
        from power_bert.distill.ensemble import make_ensemble

        finish_with_card(make_ensemble(runs, out, Console(highlight=False, soft_wrap=True), pred_glue, resume))


def compare(
    runs: Annotated[list[Path], typer.Argument(help="finished runs of one task, of any kind")],
    out: Annotated[
        Path | None, typer.Option(help="folder for comparison.txt, .csv and .png; default: only shown")
    ] = None,
    split: Annotated[
        Literal["train", "dev", "test"] | None, typer.Option(help="default: test where it has labels, else dev")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="with whom the runs are compared; default: the first that one of them names")
    ] = None,
    length: Annotated[
        int | None, typer.Option(help="word pieces when timed; default: what each run reads at most", min=5)
    ] = None,
    quantize: Annotated[
        Literal["none", "float16", "dynamic", "int8"], typer.Option(help="of the files that are weighed and timed")
    ] = "none",
    threads: Annotated[int, typer.Option(help="of the runtime that is timed", min=1)] = 2,
    timed_runs: Annotated[int, typer.Option(help="timed runs of each file", min=1)] = 200,
    logits: Annotated[Path | None, typer.Option(help=LOGITS_HELP)] = None,
) -> None:
    """Compare runs: scores, size, time of one text, throughput, agreement with the teacher, calibration error.

    Runs that differ in the seed alone become one row: mean ± standard deviation.

    Examples:

        bash run.sh compare teacher student0 student1 student2 --out comparison

        bash run.sh compare teacher student --quantize dynamic --threads 1 --split dev
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.comparison import Options, compare_runs
    from power_bert.analysis.comparison_report import comparison_text, write_comparison
    from power_bert.folders import LOGITS_FOLDER

    console = Console(highlight=False, soft_wrap=True)
    options = Options(split, teacher, length, quantize, threads, timed_runs)
    figures = compare_runs(runs, options, console, logits or LOGITS_FOLDER)
    console.print(write_comparison(out, figures) if out else comparison_text(figures), markup=False)


def linear_baselines(
    task: Annotated[str, typer.Option(help=f"{TASK_NAMES}; {LABELLED_NAMES}")],
    data_dir: Annotated[str | None, typer.Option(help="folder of the data; default: as run.sh")] = None,
    split: Annotated[
        Literal["dev", "test"] | None, typer.Option(help="default: test where it has labels, else dev")
    ] = None,
    train_examples: Annotated[
        int | None, typer.Option(help="training examples, chosen at random; default: all", min=1)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for linear_baselines.txt and .csv; default: only shown")
    ] = None,
) -> None:
    """Score least squares and logistic regression on TF-IDF (scikit-learn), with which linear students compare.

    Example:

        bash run.sh linear-baselines --task 20newsgroups --data-dir 20news-bydate.tar.gz
    """
    from power_bert.analysis.linear_baselines import baselines_text, score_linear_baselines, write_baselines
    from power_bert.config import complete_task
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


def measure_distillation(
    tasks: Annotated[
        list[str], typer.Argument(help="tasks and their data: emotion=data/emotion sst-2=…", metavar="TASK=FOLDER…")
    ],
    out: Annotated[Path, typer.Option(help="folder of all runs and of the comparisons")],
    students: Annotated[str, typer.Option(help=f"with commas: {_STUDENTS}")] = "bert-tiny,bilstm,cnn,linear,mlp",
    ways: Annotated[
        str, typer.Option(help="how each learns, with commas: alone, distilled, two_teachers, augmented, unlabelled")
    ] = "alone,distilled,two_teachers,augmented",
    seeds: Annotated[str, typer.Option(help="of the students, with commas")] = "0,1,2",
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            help="TASK=RUN or TASK=RUN,RUN: finished runs that teach; several times; missing ones are trained"
        ),
    ] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(help="TASK=FILE: texts without labels (as distill has it), for the way unlabelled; several times"),
    ] = None,
    teacher_epochs: Annotated[int, typer.Option(help="of fine-tuning a teacher", min=1)] = 3,
    teacher_lr_bert: Annotated[float, typer.Option(help="likewise: its learning rate")] = 1e-4,
    teacher_max_length: Annotated[int | None, typer.Option(help="of a teacher's texts; default: the task's")] = None,
    train_examples: Annotated[
        int | None, typer.Option(help="training examples, for a measurement that costs less; default: all", min=1)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="of every student; default: the student's", min=1)] = None,
    epsilon: Annotated[float | None, typer.Option(help="likewise: of AdamW; default: the student's")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="of the students' texts; default: the student's or the task's", min=5)
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="checkpoint that the students' weights or embeddings come from, in every way")
    ] = None,
    loss: Annotated[
        Literal["kl", "mse"] | None, typer.Option(help="of students with teachers, as for distill; default kl")
    ] = None,
    alpha: Annotated[str | None, typer.Option(help="likewise: weight of the labels; default: the student's")] = None,
    temperature: Annotated[str | None, typer.Option(help="likewise: of soft labels; default: the student's")] = None,
    augment_copies: Annotated[
        int, typer.Option(help="with augmentation: further texts of each training text", min=1)
    ] = 2,
    wait: Wait = False,
) -> None:
    """Measure distillation: two teachers, each student alone, distilled, with two teachers and with augmentation.

    Each run is a run folder; the same command goes on where it was stopped, and one with other students or ways adds
    to it. Ends with a comparison a task (OUT/TASK/comparison) of all finished runs there, the linear baselines, what
    each student gains over itself alone and over least squares (gains.txt, .csv), and all tasks side by side
    (OUT/summary.txt). With augmentation a student has fewer epochs: about as many updates. The way unlabelled also
    learns what its teacher says of the texts of a file; its epochs are over all texts.

    Examples:

        bash run.sh measure-distillation emotion=data/emotion --out checkpoints/distillation

        bash run.sh measure-distillation 20newsgroups=20news-bydate.tar.gz --students linear,mlp --out news

        bash run.sh measure-distillation emotion=data/emotion --students bilstm --start checkpoints/all-MiniLM-L6-v2
        --out started

        bash run.sh measure-distillation emotion=data/emotion --students bilstm --loss mse --out mse

        bash run.sh measure-distillation emotion=data/emotion --students linear --ways alone,augmented --epochs 30
        --alpha 0.7 --temperature 0.5 --out linear

        bash run.sh measure-distillation massive=data/massive_en-US --teacher-epochs 6 --teacher-lr-bert 2.5e-4
        --out massive

        bash run.sh measure-distillation sst-2=data/SST-2 --teachers sst-2=RUN --ways alone,distilled --epochs 3

        bash run.sh measure-distillation emotion=data/emotion --ways unlabelled --unlabelled emotion=texts.txt
        --epochs 2 --out study
    """
    from rich.console import Console

    from power_bert.analysis.distillation_study import (
        DistillationStudy,
        parse_tasks,
        parse_teachers_of_tasks,
        parse_unlabelled,
        run_distillation_study,
    )
    from power_bert.errors import UserError
    from power_bert.locks import one_writer
    from power_bert.model.student_kinds import kind_of
    from power_bert.train.glue import run_as_process

    names = _listed(students)
    for name in names:
        kind_of(name)
    numbers = _listed(seeds)
    if not all(part.isdecimal() for part in numbers):
        raise UserError(f"--seeds {seeds}: expected whole numbers with commas, as in 0,1,2")
    study = DistillationStudy(
        tasks=parse_tasks(tasks),
        students=names,
        seeds=tuple(map(int, numbers)),
        out=out.absolute(),
        ways=_listed(ways),
        teachers=parse_teachers_of_tasks(teachers or []),
        unlabelled=parse_unlabelled(unlabelled or []),
        teacher_epochs=teacher_epochs,
        teacher_lr_bert=teacher_lr_bert,
        teacher_max_length=teacher_max_length,
        train_examples=train_examples,
        epochs=epochs,
        epsilon=epsilon,
        max_length=max_length,
        start=start,
        loss=loss,
        alpha=alpha,
        temperature=temperature,
        augment_copies=augment_copies,
    )
    # Of all jobs, the teachers' alone would take settings of run.sh from the environment.
    settings = variables_of(run)
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    console = Console(highlight=False, soft_wrap=True)
    with one_writer(study.out, wait):
        errors = run_distillation_study(study, console, lambda arguments: run_as_process(arguments, environment))
    for name, error in errors.items():
        typer.echo(f"failed: {name}: {error}", err=True)
    if errors:
        raise typer.Exit(1)


def _listed(text: str) -> tuple[str, ...]:
    """Parts of a text with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
