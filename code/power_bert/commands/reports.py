"""Commands that report on finished runs, and benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def summary(run_folder: Annotated[Path, typer.Argument(help="run folder (OUTPUT_DIR)")]) -> None:
    """Print the summary table of a finished run again.

    Example:

        bash run.sh summary checkpoints/runs/acceptability-sample/sample-acceptability-all-MiniLM-L6-v2
    """
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.report import finish_run
    from power_bert.run_dir import RunDir

    finish_run(RunDir(run_folder))


def benchmark(
    run_folder: Annotated[Path, typer.Argument(help="run folder (OUTPUT_DIR)")],
) -> None:
    """Measure a finished run on the clock again: fixed padding, length buckets, length buckets with elimination.

    Example:

        bash run.sh benchmark checkpoints/runs/acceptability-sample/sample-acceptability-all-MiniLM-L6-v2
    """
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.report import finish_run, measure_run
    from power_bert.run_dir import RunDir

    measure_run(RunDir(run_folder))
    finish_run(RunDir(run_folder))


def benchmark_similarity(
    length: Annotated[int, typer.Option(help="word-vectors of an example")] = 128,
    batch_size: Annotated[int, typer.Option(help="examples of a batch")] = 16,
    dtype: Annotated[Literal["float32", "mixed_bfloat16"], typer.Option(help="of the computation")] = "float32",
) -> None:
    """Measure dot, cosine, Euclidean and Gaussian attention against each other, in inference and in training.

    Example:

        bash run.sh benchmark-similarity --length 512 --batch-size 4 --dtype mixed_bfloat16
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.similarity_speed import measure_similarities, similarity_table

    Console().print(similarity_table(measure_similarities(length, batch_size, dtype=dtype)))


def benchmark_predicting(
    rows: Annotated[int, typer.Option(min=1, help="rows of the generated test set; QQP has 390,965")] = 390_965,
    vocab_path: Annotated[
        Path | None, typer.Option(help="vocab.txt of an uncased BERT; default: that of all-MiniLM-L6-v2")
    ] = None,
) -> None:
    """Measure predicting a test set of QQP's kind with a tiny model: rows a second, memory from beginning to end.

    Example:

        bash run.sh benchmark-predicting --rows 20000
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.predicting_speed import measure_predicting, predicting_table
    from power_bert.folders import DEFAULT_CHECKPOINT
    from power_bert.text.download import fetch_minilm

    console = Console()
    vocabulary = vocab_path or fetch_minilm(DEFAULT_CHECKPOINT, console.print) / "vocab.txt"
    console.print(predicting_table(measure_predicting(rows, vocabulary, console)))


def benchmark_reading(
    rows: Annotated[int, typer.Option(min=1, help="rows of the generated file, each with two sentences")] = 400_000,
    vocab_path: Annotated[
        Path | None, typer.Option(help="vocab.txt of an uncased BERT; default: that of all-MiniLM-L6-v2")
    ] = None,
) -> None:
    """Measure reading and tokenising on generated rows of QQP's kind: rows and sentences a second, memory.

    Example:

        bash run.sh benchmark-reading --rows 100000
    """
    from rich.console import Console

    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.analysis.reading_speed import measure_reading, reading_table
    from power_bert.folders import DEFAULT_CHECKPOINT
    from power_bert.text.download import fetch_minilm

    console = Console()
    vocabulary = vocab_path or fetch_minilm(DEFAULT_CHECKPOINT, console.print) / "vocab.txt"
    console.print(reading_table(measure_reading(rows, vocabulary, console)))
