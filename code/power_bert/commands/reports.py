"""Commands for summaries and benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from power_bert.commands.run_options import RunData, task_and_data_for
from power_bert.commands.shared_options import OptionGroup, Wait, takes_settings
from power_bert.config.experiment import Experiment
from power_bert.config.settings import declared_settings
from power_bert.config.values import parse_list

# Settings that differ between the runs of `pareto`, or have no effect with a target.
_NOT_SHARED = (
    *("speedup", "max_loss", "seed", "output_dir"),
    *("retention_config", "regularization", "lr_soft_extract", "gate", "retention_unit", "retention_profile"),
)
_SHARED = tuple(
    name
    for name, declared in declared_settings(Experiment).items()
    if declared.setting.has_option and name not in _NOT_SHARED
)
_RUN = typer.Argument(help="Run (OUTPUT_DIR).", metavar="RUN")


def summary(run: Annotated[str, _RUN], data_dir: RunData = None) -> None:
    """Print the summary of a finished run again, and rewrite its report, pictures and model card.

    Example:

        bash run.sh summary checkpoints/runs/cola/first
    """
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.reports.finish_run import finish_run
    from power_bert.runs.resolve_model import find_stored_phase

    finish_run(find_stored_phase(run, data_dir=task_and_data_for(run, None, data_dir)[1]).run_dir)


def benchmark(
    run: Annotated[str, _RUN],
    data_dir: RunData = None,
    peers: Annotated[bool, typer.Option(help="Also measure other runtimes.")] = True,
) -> None:
    """Measure the latency of a finished run again, with and without elimination, and print the summary.

    Times batches of 32, with fixed padding and length-bucketed, and one text at a time; the models take turns. Also
    measures the same BERT in PyTorch, and both models in ONNX Runtime, on the CPU, where these are installed
    (EXTRAS="onnx parity"), and writes peers.csv.

    Examples:

        bash run.sh benchmark checkpoints/runs/cola/first

        EXTRAS="onnx parity" bash run.sh benchmark checkpoints/runs/mrpc/MRPC-all-MiniLM-L6-v2
    """
    from power_bert.process_environment import split_threads
    from power_bert.quiet import import_backend

    split_threads(os.environ)
    import_backend()
    from rich.console import Console

    from power_bert.reports.finish_run import finish_run, measure_peers_of_run, measure_run
    from power_bert.runs.resolve_model import find_stored_phase

    run_dir = find_stored_phase(run, data_dir=task_and_data_for(run, None, data_dir)[1]).run_dir
    measure_run(run_dir)
    finish_run(run_dir)
    if peers:
        measure_peers_of_run(run_dir, Console(highlight=False))


@takes_settings(given=OptionGroup(Experiment, only=_SHARED, has_variables=True))
def pareto(
    given: dict[str, Any],
    targets: Annotated[str, typer.Option(help="Targets of SPEEDUP, separated by commas.")] = "1.5,2,3,4",
    seeds: Annotated[str, typer.Option(help="Random seeds, separated by commas.")] = "0",
    max_loss: Annotated[
        float,
        typer.Option(help="Largest mean drop of the dev score of the recommended target, in points.", min=0, max=100),
    ] = 1.0,
    out: Annotated[Path, typer.Option(help="Folder of the runs and of pareto.txt, .csv and .png.")] = Path("pareto"),
    wait: Wait = False,
) -> None:
    """Trace score against speed-up: several targets of SPEEDUP from one fine-tuned model, for one or several seeds.

    Every target is compared with a baseline, which is trained for as many epochs with nothing eliminated. The same
    command resumes an interrupted call.

    Examples:

        # on the generated sample
        bash run.sh pareto

        TASK=mrpc bash run.sh pareto --targets 2,3,4,5 --seeds 0,1,2 --out mrpc_front
    """
    from power_bert.quiet import import_backend

    import_backend()
    from rich.console import Console

    from power_bert.config.experiment import resolve_experiment
    from power_bert.experiments.pareto import run_targets, write_front
    from power_bert.storage.locks import one_writer

    def experiment_of(target: float, seed: int, folder: Path) -> Experiment:
        return resolve_experiment({**given, "speedup": target, "seed": seed, "output_dir": str(folder)})

    asked, chosen = parse_list("--targets", targets, float), parse_list("--seeds", seeds, int)
    out = out.absolute()
    console = Console(highlight=False, soft_wrap=True)
    with one_writer(out, wait):
        runs = run_targets(experiment_of, asked, chosen, out, console)
        metric = experiment_of(asked[0], chosen[0], out).task_definition.metrics[0]
        text = write_front(out, runs, metric, max_loss)
    console.print(f"\n{text}\n{out}/pareto.txt, .csv, .png", markup=False)


def benchmark_similarity(
    length: Annotated[int, typer.Option(help="Sequence length, in tokens.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Examples per batch.")] = 16,
    dtype: Annotated[
        Literal["float32", "mixed_bfloat16"], typer.Option(help="Precision of the computation.")
    ] = "float32",
) -> None:
    """Measure the speed of dot, cosine, Euclidean and Gaussian attention in inference and training.

    Example:

        bash run.sh benchmark-similarity --length 512 --batch-size 4 --dtype mixed_bfloat16
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.benchmarks.similarity_speed import measure_similarities, similarity_table

    Console().print(similarity_table(measure_similarities(length, batch_size, dtype=dtype)))


def benchmark_predicting(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the generated test set; QQP has 390,965.")] = 390_965,
    vocab_path: Annotated[
        Path | None, typer.Option(help="Vocabulary (vocab.txt) of an uncased BERT [default: that of all-MiniLM-L6-v2].")
    ] = None,
) -> None:
    """Measure the throughput and memory of predicting a test set like QQP's with a tiny model.

    Example:

        bash run.sh benchmark-predicting --rows 20000
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.benchmarks.predicting_speed import measure_predicting, predicting_table
    from power_bert.folders import DEFAULT_CHECKPOINT
    from power_bert.model.checkpoints.download import fetch_minilm

    console = Console()
    vocabulary = vocab_path or fetch_minilm(DEFAULT_CHECKPOINT, console.print) / "vocab.txt"
    console.print(predicting_table(measure_predicting(rows, vocabulary, console)))


def benchmark_reading(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the generated file, each with two sentences.")] = 400_000,
    vocab_path: Annotated[
        Path | None, typer.Option(help="Vocabulary (vocab.txt) of an uncased BERT [default: that of all-MiniLM-L6-v2].")
    ] = None,
) -> None:
    """Measure the throughput and memory of reading and tokenizing generated rows like QQP's.

    Example:

        bash run.sh benchmark-reading --rows 100000
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.benchmarks.reading_speed import measure_reading, reading_table
    from power_bert.folders import DEFAULT_CHECKPOINT
    from power_bert.model.checkpoints.download import fetch_minilm

    console = Console()
    vocabulary = vocab_path or fetch_minilm(DEFAULT_CHECKPOINT, console.print) / "vocab.txt"
    console.print(reading_table(measure_reading(rows, vocabulary, console)))
