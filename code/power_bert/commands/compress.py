"""Command that compresses students by pruning and weight clustering."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from power_bert.commands.run_options import RunData, task_and_data_for
from power_bert.commands.shared_options import LOGITS_HELP, Wait


def compress(
    run: Annotated[Path, typer.Argument(help="Folder of a distilled run.", metavar="RUN")],
    out: Annotated[Path, typer.Option(help="Run folder of the compressed student.")],
    sparsity: Annotated[
        float | None,
        typer.Option(help="Fraction of each large weight matrix that becomes 0, such as 0.8 [default: the run's]."),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(help="Block that is pruned as a whole, rows x columns, such as 1x16 [default: the run's]."),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(help="Number of distinct values of each large weight matrix, such as 16 [default: the run's]."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of further training [default: half of the run's].")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate [default: the run's].")] = None,
    data_dir: RunData = None,
    quantize: Annotated[
        Literal["none", "float16", "dynamic", "int8"],
        typer.Option(help="Quantization of the files whose sizes are reported."),
    ] = "none",
    logits: Annotated[Path | None, typer.Option(help=LOGITS_HELP)] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Resume an interrupted run.")] = True,
    wait: Wait = False,
) -> None:
    """Prune or cluster the weights of a finished student while training it further on its teachers' cached logits.

    Reports dev scores, fraction of zeros and size of the .tflite file, plain and zipped, before and after. The result
    is a run that evaluate, predict, export and compare accept. `distill` has the same options for a new student.

    Examples:

        bash run.sh compress student --sparsity 0.8 --out student_sparse

        bash run.sh compress student --sparsity 0.5 --block 1x16 --out student_blocks

        bash run.sh compress student --sparsity 0.5 --clusters 16 --quantize dynamic --out student_small

        # zeros stay 0
        bash run.sh compress student_sparse --clusters 16 --out student_both
    """
    from power_bert.folders import LOGITS_FOLDER
    from power_bert.quiet import import_backend
    from power_bert.storage.locks import one_writer

    changes = {
        "output_dir": str(out.absolute()),
        "data_dir": task_and_data_for(run, None, data_dir)[1],
        "sparsity": sparsity,
        "block": block,
        "clusters": clusters,
        "epochs": epochs,
        "learning_rate": learning_rate,
    }
    with one_writer(out, wait):
        import_backend()
        from power_bert.experiments.student_compression import compress
        from power_bert.reports.finish_run import finish_with_card

        finish_with_card(compress(run, changes, quantize, resume, logits_folder=logits or LOGITS_FOLDER))
