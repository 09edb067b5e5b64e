"""The command that makes students smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from power_bert.commands.options import LOGITS_HELP, Wait


def compress(
    run: Annotated[Path, typer.Argument(help="folder of a distilled run", metavar="RUN")],
    out: Annotated[Path, typer.Option(help="run folder of the compressed student")],
    sparsity: Annotated[
        float | None, typer.Option(help="share of each large weight that becomes 0: 0.8; default: as the run")
    ] = None,
    block: Annotated[
        str | None, typer.Option(help="rows x columns that become 0 together: 1x16; default: as the run")
    ] = None,
    clusters: Annotated[
        int | None, typer.Option(help="different values that each large weight ends with: 16; default: as the run")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="of the further training; default: half of the run's")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="the highest; default: the run's")] = None,
    quantize: Annotated[
        Literal["none", "float16", "dynamic", "int8"], typer.Option(help="of the files whose sizes are reported")
    ] = "none",
    logits: Annotated[Path | None, typer.Option(help=LOGITS_HELP)] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="go on with an interrupted run")] = True,
    wait: Wait = False,
) -> None:
    """Prune a finished student, cluster its weights, or both, training it on with its teachers' cached logits.

    Reports dev scores, share of zeros, and the size of the .tflite file, also zipped, before and after. The result is a
    run: evaluate, predict, export and compare take it. `distill` has the same options, for a new student.

    Examples:

        bash run.sh compress student --sparsity 0.8 --out student_sparse

        bash run.sh compress student --sparsity 0.5 --block 1x16 --out student_blocks

        bash run.sh compress student --sparsity 0.5 --clusters 16 --quantize dynamic --out student_small

        bash run.sh compress student_sparse --clusters 16 --out student_both     # what is 0 stays 0
    """
    from power_bert.folders import LOGITS_FOLDER
    from power_bert.locks import one_writer
    from power_bert.quiet import import_backend

    changes = {
        "output_dir": str(out.absolute()),
        "sparsity": sparsity,
        "block": block,
        "clusters": clusters,
        "epochs": epochs,
        "learning_rate": learning_rate,
    }
    with one_writer(out, wait):
        import_backend()
        from power_bert.analysis.model_card import finish_with_card
        from power_bert.compression.driver import compress

        finish_with_card(compress(run, changes, quantize, resume, logits_folder=logits or LOGITS_FOLDER))
