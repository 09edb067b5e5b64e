"""Commands that write, inspect and time exported files."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from power_bert.commands.run_options import TARGET, RunData, RunTask, Threads, task_and_data_for
from power_bert.commands.shared_options import Wait, option
from power_bert.config.shared_settings import LABELED_NAMES, TASK_NAMES
from power_bert.config.values import parse_list


def export(
    target: Annotated[str, TARGET],
    out: Annotated[Path, typer.Option(help="File to write: .tflite, .onnx or .xml; a folder for saved_model.")],
    form: Annotated[
        Literal["litert", "onnx", "openvino", "saved_model"],
        typer.Option(
            "--format",
            help="litert: .tflite for phones and browsers, one text of fixed length. For servers, with dynamic batch "
            "and length: onnx (extra onnx), openvino (extra openvino), saved_model (TensorFlow Serving).",
        ),
    ] = "litert",
    quantize: Annotated[
        Literal["none", "float16", "dynamic", "int8", "auto"],
        typer.Option(
            help="Quantization: none (float32), float16 (weights), dynamic (weights in int8), int8 (weights and "
            "activations, calibrated on the training set), auto (the smallest of these that agrees with Keras)."
        ),
    ] = "none",
    min_agreement: Annotated[
        float | None,
        typer.Option(
            help="Smallest label agreement with Keras on the dev set, in percent; replaces all limits "
            "[default: 98.5, and a dev score at most 0.5 points lower].",
            min=50,
            max=100,
        ),
    ] = None,
    check_texts: Annotated[
        Path | None,
        typer.Option(
            help="Texts like those of your application, one per line, pairs with a tab; a low label agreement on them "
            "is a warning [default: 326 texts of this project]."
        ),
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            help="Sequence length of the input, in tokens; several separated by commas: 32,64,128 [default: the "
            "run's max length]."
        ),
    ] = None,
    one_file: Annotated[
        bool,
        typer.Option(
            "--one-file", help="Store several lengths as signatures of one file, which MediaPipe cannot open."
        ),
    ] = False,
    surviving_tokens: Annotated[
        bool,
        typer.Option(
            "--surviving-tokens",
            help="Also return which tokens are left after each block, which the browser page shows. MediaPipe cannot "
            "open such a .tflite file; other formats do not have it.",
        ),
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes, separated by commas, or a file with one per line [default: the task's]."
        ),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(help="Phase of a run: 1_fine_tune, 3_retrain, baseline or 4_distill [default: its final model]."),
    ] = None,
    retention_config: Annotated[
        str | None,
        option(
            "RETENTION_CONFIG",
            "Retention configuration, as for predict; none disables elimination [default: the run's].",
        ),
    ] = None,
    task: RunTask = None,
    data_dir: RunData = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed that selects the calibration examples [default: the run's].", min=0)
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model in the metadata [default: after the task].")] = "",
    version: Annotated[str, typer.Option(help="Version of the model in the metadata.")] = "1",
    author: Annotated[str, typer.Option(help="Author of the model in the metadata.")] = "",
    license_: Annotated[str, typer.Option("--license", help="License of the model in the metadata.")] = "",
    wait: Wait = False,
) -> None:
    """Export a trained model to one file with vocabulary, labels and metadata, for phones, browsers or servers.

    Every file is compared with Keras on the dev set. It is written only if the label agreement is at least 98.5 % and
    the dev score drops by at most 0.5 points; the probabilities of a float32 file must also be equal within 0.0001. The
    label agreement on other texts (--check-texts) is reported as well.

    Examples:

        bash run.sh export checkpoints/runs/mrpc/first --out model.tflite

        # the smallest file that passes
        bash run.sh export RUN --out model.tflite --quantize auto

        bash run.sh export RUN --out model.tflite --quantize int8 --min-agreement 98 --check-texts mine.txt

        # model-32.tflite, model-64.tflite beside it
        bash run.sh export RUN --out model.tflite --lengths 32,64,128

        bash run.sh export RUN --out model.tflite --labels wrong,right --author "Jane Doe" --license Apache-2.0

        # without elimination
        bash run.sh export RUN --out bert.tflite --phase 1_fine_tune

        # for the browser page, bash run.sh web
        bash run.sh export RUN --out model.tflite --surviving-tokens

        EXTRAS=onnx bash run.sh export RUN --format onnx --out model.onnx --quantize auto
    """
    from power_bert.quiet import import_backend

    import_backend()
    from rich.console import Console

    from power_bert.export.description import Description
    from power_bert.export.export_options import ExportOptions, parse_labels
    from power_bert.export.server_exporter import export_for_servers
    from power_bert.runs.trained_model import load_trained_model
    from power_bert.storage.locks import one_writer

    options = ExportOptions(
        quantize=quantize,
        lengths=tuple(parse_list("--lengths", lengths, int)) if lengths else (),
        one_file=one_file,
        labels=parse_labels(labels),
        min_agreement=min_agreement,
        check_texts=check_texts,
        surviving_tokens=surviving_tokens,
        description=Description(name, version, author, license_),
    )
    with one_writer(out, wait):
        asked, data = task_and_data_for(target, task, data_dir)
        model = load_trained_model(target, asked, data, retention_config, phase)
        options = replace(options, seed=model.seed if seed is None else seed)
        console = Console(highlight=False, soft_wrap=True)
        if form != "litert":
            export_for_servers(model, out, form, options, console)
            return
        from power_bert.export.exporter import export  # needs TensorFlow, which the other formats do not

        export(model, out, options, console)


def inspect(
    model: Annotated[Path, typer.Argument(help="Exported file (.tflite, .onnx, .xml) or folder of a SavedModel.")],
) -> None:
    """Show the content of an exported file: settings, and of a .tflite file metadata, tensors, weights and operators.

    Example:

        bash run.sh inspect model.tflite
    """
    from power_bert.export.inspection import inspect_file
    from power_bert.result_tables import WIDTH

    for line in inspect_file(model):
        parts = textwrap.wrap(line, WIDTH, subsequent_indent=" " * 13, break_long_words=False, break_on_hyphens=False)
        typer.echo("\n".join(parts))


def benchmark_export(
    models: Annotated[
        list[Path],
        typer.Argument(help="Exported files (.tflite, .onnx, .xml); speed-ups are relative to the first one."),
    ],
    threads: Threads = 2,
    runs: Annotated[
        int,
        typer.Option(
            help="Number of timed calls of each file and workload; at most 8 where a call runs all texts.", min=1
        ),
    ] = 100,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Also time these texts at their real lengths: one per line, pairs with a tab.", metavar="FILE"
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.", metavar="FILE")] = None,
) -> None:
    """Measure the latency and throughput of exported files of all formats, each in its own process, in turns.

    Times one example at a time and batches of 32, by length, and texts at their real lengths: one by one, in batches of
    similar length (bucketed), and padded to the max length. A .tflite file runs at its own length; files of other
    lengths beside it (--lengths) are used for the shorter texts.

    Examples:

        bash run.sh benchmark-export bert.onnx power_bert.onnx power_bert_int8.onnx power_bert.tflite --threads 2

        bash run.sh benchmark-export bert_int8.onnx power_bert_int8.onnx --texts sentences.txt --csv latency.csv
    """
    from power_bert.benchmarks.export_latency import export_frame, export_text, measure_exports
    from power_bert.predict.prediction_output import texts_to_predict
    from power_bert.result_tables import csv_text
    from power_bert.storage.files import atomic_write_text

    examples: list[str | tuple[str, str]] = []
    for chunk in texts_to_predict(texts, (), None) if texts else ():
        read = chunk.examples
        examples += read.first if read.second is None else list(zip(read.first, read.second, strict=True))
    latencies = measure_exports(models, examples, threads, runs)
    typer.echo(export_text(latencies, threads, len(examples)))
    if csv:
        atomic_write_text(csv, csv_text(export_frame(latencies, threads)))


def proof_points(
    runs: Annotated[list[str] | None, typer.Argument(help="Further finished runs of the same task.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of all output.")] = Path("proof_points"),
    task: Annotated[str, option("TASK", f"Task: {TASK_NAMES}; {LABELED_NAMES}.")] = "cola",
    data_dir: Annotated[
        str | None, option("DATA_DIR", "Folder of the data, or tfds:NAME [default: as for run.sh].")
    ] = None,
    checkpoint_path: Annotated[
        str | None, option("CHECKPOINT_PATH", "Pretrained BERT [default: as for run.sh].")
    ] = None,
    epoch: Annotated[int | None, option("EPOCH", "Epochs of fine-tuning the BERT [default: 3].")] = None,
    lr_bert: Annotated[
        float | None, option("LR_BERT", "Peak learning rate of the BERT [default: as for run.sh].")
    ] = None,
    max_length: Annotated[
        int | None, option("MAX_LENGTH", "Max length of an example, in tokens [default: the task's].")
    ] = None,
    seed: Annotated[int, option("SEED", "Random seed for initialization, data order and dropout.")] = 0,
    timed_runs: Annotated[int, typer.Option(help="Number of timed calls of each file.", min=1)] = 200,
    wait: Wait = False,
) -> None:
    """Train, export and evaluate a BERT, its int8 file and a BERT-tiny distilled from it.

    Reports for each model the dev scores in Keras and in LiteRT, the duration of training and evaluation, the model
    size, and the latency with 1 and 2 threads. The same command resumes an interrupted call and keeps trained models.

    Examples:

        # on the generated sample
        bash run.sh proof-points

        bash run.sh proof-points --task mrpc --data-dir glue_data/MRPC --out mrpc_points

        bash run.sh proof-points checkpoints/runs/mrpc/power --task mrpc --data-dir glue_data/MRPC
    """
    from power_bert.quiet import import_backend

    import_backend()
    from rich.console import Console

    from power_bert.experiments.proof_points import prove
    from power_bert.storage.locks import one_writer

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
