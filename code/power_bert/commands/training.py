"""Commands that train."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from power_bert.commands.options import (
    LABELLED_NAMES,
    PAPER_DEFAULT,
    TASK_NAMES,
    Wait,
    option,
    parse_cased,
    variables_of,
)
from power_bert.surroundings import unknown_settings


def run(
    task: Annotated[str, option("TASK", f"{TASK_NAMES}; {LABELLED_NAMES}; or custom: your own data")] = "cola",
    data_dir: Annotated[
        str | None, option("DATA_DIR", "folder with train, dev and test files, or tfds:NAME; empty: sample or download")
    ] = None,
    checkpoint_path: Annotated[
        str | None, option("CHECKPOINT_PATH", "pretrained BERT; empty: all-MiniLM-L6-v2, fetched on first use")
    ] = None,
    vocab_path: Annotated[str | None, option("VOCAB_PATH", "vocab.txt, where not beside the checkpoint")] = None,
    bert_config_path: Annotated[
        str | None, option("BERT_CONFIG_PATH", "bert_config.json, where not beside the checkpoint")
    ] = None,
    output_dir: Annotated[str | None, option("OUTPUT_DIR", "run folder; empty: checkpoints/runs/TASK/…")] = None,
    epoch: Annotated[int | None, option("EPOCH", "epochs of phases 1 and 3; empty: 3")] = None,
    batch_size: Annotated[int | None, option("BATCH_SIZE", f"examples of a batch; {PAPER_DEFAULT}")] = None,
    lr_soft_extract: Annotated[
        float | None, option("LR_SOFT_EXTRACT", f"learning rate of the retention parameters; {PAPER_DEFAULT}")
    ] = None,
    lr_bert: Annotated[float | None, option("LR_BERT", f"learning rate of all other weights; {PAPER_DEFAULT}")] = None,
    regularization: Annotated[float | None, option("LAMBDA", f"weight λ of the regulariser; {PAPER_DEFAULT}")] = None,
    speedup: Annotated[
        float | None, option("SPEEDUP", "times fewer FLOPs that the search is to reach; empty: λ")
    ] = None,
    max_length: Annotated[int | None, option("MAX_LENGTH", f"word pieces at most; {PAPER_DEFAULT}")] = None,
    seed: Annotated[int, option("SEED", "of initialisation, order and dropout")] = 0,
    train_examples: Annotated[
        int | None, option("TRAIN_EXAMPLES", "training examples to use, chosen at random; empty: all")
    ] = None,
    cased: Annotated[str | None, option("CASED", "1 cased, 0 uncased; empty or auto: as the checkpoint says")] = None,
    similarity: Annotated[
        str | None, option("SIMILARITY", "attention: dot, cosine, euclidean or gaussian; empty: the checkpoint's")
    ] = None,
    gate: Annotated[str | None, option("GATE", "soft extraction: visibility or scale (the paper)")] = None,
    retention_unit: Annotated[
        str | None, option("RETENTION_UNIT", "search shares of each example (fraction) or word-vectors (tokens)")
    ] = None,
    retention_profile: Annotated[
        str | None, option("RETENTION_PROFILE", "search one share a block (step) or every rank (free, the paper)")
    ] = None,
    retention_jitter: Annotated[
        float | None, option("RETENTION_JITTER", "how much re-training shakes significance, for int8: 0.3; empty: 0")
    ] = None,
    text_columns: Annotated[
        str | None, option("TEXT_COLUMNS", "custom task: column of texts, or two with a comma; empty: sentence")
    ] = None,
    label_column: Annotated[
        str | None, option("LABEL_COLUMN", "custom task: column of labels or scores; empty: label")
    ] = None,
    labels: Annotated[str | None, option("LABELS", "custom task: the labels, with commas; empty: as in train")] = None,
    metric: Annotated[
        str | None, option("METRIC", "custom task: accuracy, macro_f1, or for scores spearman, pearson")
    ] = None,
    search_epoch: Annotated[int | None, option("SEARCH_EPOCH", "epochs of phase 2; empty: EPOCH")] = None,
    warmup: Annotated[float | None, option("WARMUP", "share of updates with rising rate; empty: 0.1")] = None,
    weight_decay: Annotated[float | None, option("WEIGHT_DECAY", "decoupled weight decay; empty: 0.01")] = None,
    dropout: Annotated[float | None, option("DROPOUT", "rate; empty: the checkpoint's")] = None,
    retention_config: Annotated[
        str | None, option("RETENTION_CONFIG", "what each block keeps; given, phase 2 is left out; empty: searched")
    ] = None,
    pred_glue: Annotated[
        bool, typer.Option("--pred-glue/--no-pred-glue", envvar="PRED_GLUE", help="predict the test data in GLUE form")
    ] = True,
    eval_only: Annotated[
        bool, typer.Option("--eval-only", envvar="EVAL_ONLY", help="score the run or checkpoint on dev, train nothing")
    ] = False,
    predict_only: Annotated[
        bool, typer.Option("--predict-only", envvar="PREDICT_ONLY", help="predict the test data only, train nothing")
    ] = False,
    fine_tune_only: Annotated[
        bool, typer.Option("--fine-tune-only", help="phase 1 alone: a BERT without elimination, such as a teacher")
    ] = False,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline/--no-baseline",
            envvar="BASELINE",
            help="also fine-tune on for as many epochs as phases 2 and 3 took, nothing eliminated, to compare with",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", envvar="RESUME", help="go on with an interrupted run, or start anew")
    ] = True,
    wait: Wait = False,
) -> None:
    """Run all three phases on one task and print the summary.

    Examples:

        bash run.sh                                                # the embedded default

        TASK=mrpc bash run.sh                                      # after: bash run.sh download mrpc

        TASK=custom DATA_DIR=my_data TEXT_COLUMNS=title,body LABEL_COLUMN=topic bash run.sh

        bash run.sh run --task cola --data-dir glue_data/CoLA --lambda 0.003 --epoch 3

        bash run.sh run --task emotion --fine-tune-only --output-dir teacher   # for bash run.sh distill

        BASELINE=1 bash run.sh          # also for a run that is finished: what as many epochs score without elimination

        EVAL_ONLY=1 RETENTION_CONFIG=1.0,0.8,0.6,0.4,0.2,0.1 bash run.sh   # what is trained already, cut otherwise
    """
    from power_bert.config import resolve_experiment
    from power_bert.locks import one_writer
    from power_bert.quiet import import_backend
    from power_bert.train.run_folder import choose_folder, finished_run

    _name_unknown_settings()
    only = eval_only or predict_only
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
            "speedup": speedup,
            "max_length": max_length,
            "seed": seed,
            "train_examples": train_examples,
            "cased": parse_cased(cased),
            "similarity": similarity,
            "gate": gate,
            "retention_unit": retention_unit,
            "retention_profile": retention_profile,
            "retention_jitter": retention_jitter,
            "warmup": warmup,
            "text_columns": text_columns,
            "label_column": label_column,
            "labels": labels,
            "metric": metric,
            "weight_decay": weight_decay,
            "dropout": dropout,
            "retention_config": None if only else retention_config,
        }
    )
    if not output_dir:
        experiment = choose_folder(experiment, only_existing=only)
    if only:
        import_backend()
        from power_bert.train.without_training import use_trained

        use_trained(experiment, data_dir, output_dir, retention_config, eval_only, predict_only, max_length)
    elif resume and not fine_tune_only and (finished := finished_run(experiment, pred_glue, baseline)):
        typer.echo(f"everything is done already\n\n{finished.summary.read_text(encoding='utf-8')}", nl=False)
    else:
        with one_writer(experiment.output_dir, wait):
            import_backend()
            from power_bert.analysis.model_card import finish_with_card
            from power_bert.analysis.report import finish_run
            from power_bert.train.driver import run_experiment

            if fine_tune_only:
                finish_with_card(run_experiment(experiment, resume, predict_test=pred_glue, only_fine_tune=True))
            else:
                finish_run(run_experiment(experiment, resume, predict_test=pred_glue, baseline=baseline))


def _name_unknown_settings() -> None:
    """Say which environment variable looks like a setting with a mistake in its name: it has no effect."""
    settings = variables_of(run) | {"THREADS", "BACKEND", "EXTRAS"}
    for name, meant in unknown_settings(os.environ, settings).items():
        typer.echo(f"note: {name} is no setting and has no effect; did you mean {meant}?", err=True)
