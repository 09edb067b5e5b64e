"""Commands that make .tflite files and look into them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from power_bert.commands.options import LABELLED_NAMES, TASK_NAMES, Wait, option


def export(
    target: Annotated[str, typer.Argument(help="run folder (OUTPUT_DIR), or a checkpoint with a head", metavar="RUN")],
    out: Annotated[Path, typer.Option(help="the .tflite file")],
    quantize: Annotated[
        Literal["none", "float16", "dynamic", "int8", "auto"],
        typer.Option(
            help="weights in float16; in int8 (dynamic); in int8 with activations calibrated on the training set "
            "(int8); or the smallest of these forms that agrees with Keras (auto)"
        ),
    ] = "none",
    min_agreement: Annotated[
        float | None,
        typer.Option(
            help="smallest label agreement with Keras on the dev set, in percent, in place of all limits; "
            "default: 98.5, with at most 0.5 points of the dev score lost",
            min=50,
            max=100,
        ),
    ] = None,
    check_texts: Annotated[
        Path | None,
        typer.Option(
            help="texts as the model will be used for, one a line, pairs with a tab: label agreement on them is "
            "reported too, and warns; default: 326 texts of this project"
        ),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="word pieces of an input; several: 32,64,128; default: the run's maximum")
    ] = None,
    one_file: Annotated[
        bool, typer.Option("--one-file", help="several lengths as signatures of one file; MediaPipe cannot open it")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(help="names of the classes, by commas or as a file with one a line; default: the task's"),
    ] = None,
    phase: Annotated[str | None, typer.Option(help="1_fine_tune or 3_retrain; default: the last that is done")] = None,
    retention_config: Annotated[
        str | None, option("RETENTION_CONFIG", "what each block keeps, or none (everything); default: the run's")
    ] = None,
    task: Annotated[str | None, typer.Option(help="task of a checkpoint; default: the run's")] = None,
    data_dir: Annotated[str | None, typer.Option(help="data to check and calibrate on; default: the run's")] = None,
    seed: Annotated[int | None, typer.Option(help="of the calibration examples; default: the run's", min=0)] = None,
    name: Annotated[str, typer.Option(help="of the model, for the metadata; default: after the task")] = "",
    version: Annotated[str, typer.Option(help="of the model, for the metadata")] = "1",
    author: Annotated[str, typer.Option(help="for the metadata")] = "",
    license_: Annotated[str, typer.Option("--license", help="for the metadata")] = "",
    wait: Wait = False,
) -> None:
    """Export a trained model to one .tflite file with vocabulary, labels and metadata for phones and browsers.

    Every file is compared with Keras on the dev set, and appears only if at least 98.5 % of the labels are equal and
    the dev score falls by at most 0.5 points; in float32 also only if the probabilities are equal within 0.0001. The
    label agreement on texts from elsewhere is reported beside it.

    Examples:

        bash run.sh export checkpoints/runs/mrpc/first --out model.tflite

        bash run.sh export RUN --out model.tflite --quantize auto         # the smallest form that passes

        bash run.sh export RUN --out model.tflite --quantize int8 --min-agreement 98 --check-texts mine.txt

        bash run.sh export RUN --out model.tflite --lengths 32,64,128     # model-32.tflite, model-64.tflite beside it

        bash run.sh export RUN --out model.tflite --labels wrong,right --author "Jane Doe" --license Apache-2.0

        bash run.sh export RUN --out bert.tflite --phase 1_fine_tune      # without elimination
    """
    from power_bert.quiet import import_backend

    import_backend()
    from rich.console import Console

    from power_bert.export.description import Description
    from power_bert.export.exporter import export
    from power_bert.export.options import ExportOptions, parse_labels, parse_lengths, seed_of
    from power_bert.locks import one_writer
    from power_bert.text.glue_tasks import get_task
    from power_bert.train.trained_model import load_trained_model

    options = ExportOptions(
        quantize=quantize,
        lengths=parse_lengths(lengths),
        one_file=one_file,
        seed=seed_of(target) if seed is None else seed,
        labels=parse_labels(labels),
        min_agreement=min_agreement,
        check_texts=check_texts,
        description=Description(name, version, author, license_),
    )
    with one_writer(out, wait):
        model = load_trained_model(target, get_task(task) if task else None, data_dir, retention_config, phase)
        export(model, out, options, Console(highlight=False, soft_wrap=True))


def inspect(model: Annotated[Path, typer.Argument(help=".tflite file")]) -> None:
    """Show what is in a .tflite file: metadata, settings, tensors, files inside, weights and operators.

    Example:

        bash run.sh inspect model.tflite
    """
    from power_bert.export.inspection import inspect_file

    for line in inspect_file(model):
        typer.echo(line)


def benchmark_export(
    models: Annotated[list[Path], typer.Argument(help=".tflite files; the first one is what the others are held to")],
    threads: Annotated[int, typer.Option(help="of the runtime", min=1)] = 2,
    runs: Annotated[int, typer.Option(help="timed runs of each file", min=1)] = 200,
) -> None:
    """Measure .tflite files against each other, one example without padding at a time, in turns.

    Example:

        bash run.sh benchmark-export bert.tflite power_bert.tflite power_bert_int8.tflite --threads 2
    """
    from power_bert.analysis.litert_latency import latency_text, measure_files

    typer.echo(latency_text(measure_files(models, threads, runs)))


def proof_points(
    runs: Annotated[list[str] | None, typer.Argument(help="finished runs of the same task to put beside")] = None,
    out: Annotated[Path, typer.Option(help="folder of everything that is made")] = Path("proof_points"),
    task: Annotated[str, option("TASK", f"{TASK_NAMES}; {LABELLED_NAMES}")] = "cola",
    data_dir: Annotated[str | None, option("DATA_DIR", "folder of the data, or tfds:NAME; empty: as run.sh")] = None,
    checkpoint_path: Annotated[str | None, option("CHECKPOINT_PATH", "pretrained BERT; empty: as run.sh")] = None,
    epoch: Annotated[int | None, option("EPOCH", "epochs of the BERT's fine-tuning; empty: 3")] = None,
    lr_bert: Annotated[float | None, option("LR_BERT", "learning rate of the BERT; empty: as run.sh")] = None,
    max_length: Annotated[int | None, option("MAX_LENGTH", "word pieces at most; empty: the task's value")] = None,
    seed: Annotated[int, option("SEED", "of initialisation, order and dropout")] = 0,
    timed_runs: Annotated[int, typer.Option(help="timed runs of each file", min=1)] = 200,
    wait: Wait = False,
) -> None:
    """Build, export and evaluate a BERT, its int8 file and a BERT-tiny distilled from it, and show what each costs.

    For each: dev scores in Keras and in LiteRT, time to build and to evaluate, bytes, milliseconds of one example at 1
    and 2 threads. A killed call goes on; what is trained is not trained again.

    Examples:

        bash run.sh proof-points                                  # on the embedded sample

        bash run.sh proof-points --task mrpc --data-dir glue_data/MRPC --out mrpc_points

        bash run.sh proof-points checkpoints/runs/mrpc/power --task mrpc --data-dir glue_data/MRPC
    """
    from power_bert.quiet import import_backend

    import_backend()
    from rich.console import Console

    from power_bert.export.proof_points import prove
    from power_bert.locks import one_writer

    settings = {
        "task": task,
        "data_dir": data_dir,
        "checkpoint_path": checkpoint_path,
        "epochs": epoch,
        "lr_bert": lr_bert,
        "max_length": max_length,
        "seed": seed,
    }
    console = Console(highlight=False, soft_wrap=True)
    with one_writer(out, wait):
        prove(settings, runs or [], out.absolute(), timed_runs, console)
    text = out / "proof_points.txt"
    console.print(f"\n{text.read_text(encoding='utf-8')}\n{text}, .csv, .json", markup=False)
