"""Commands of the server: serving models over HTTP, and loading the server with requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from power_bert.commands.run_options import Threads
from power_bert_runtime.serving.serve_command import serve_command

if TYPE_CHECKING:
    from power_bert_runtime.serving.hosted_models import ServableModel

_HELP = """Serve classifiers over HTTP: predictions, comparison with a teacher, health, metrics, and the page of `web`.

    MODEL is an exported file (.tflite, .onnx, .xml), or a run or checkpoint, which runs in TensorFlow in a process of
    its own. The server describes all operations at /docs.

    Examples:

        bash run.sh serve model.tflite

        bash run.sh serve teacher=RUN/1_fine_tune power=power.onnx int8=power_int8.onnx

        POWER_BERT_TOKEN=$(openssl rand -hex 32) bash run.sh serve model.onnx --host 0.0.0.0 --port 80

        curl 127.0.0.1:8080/predict -H 'Content-Type: application/json' -d '{"inputs": [["one text"], ["another"]]}'
    """


def _open(target: str, threads: int | None) -> ServableModel:
    from power_bert_runtime import Classifier
    from power_bert_runtime.contents import is_exported

    if is_exported(target):
        return Classifier(target, threads=threads)
    from power_bert.serving.keras_process import KerasProcess

    return KerasProcess(target, threads)


def _built_page() -> Path | None:
    from power_bert.export.web.build import build_site, packages_are_installed

    if packages_are_installed():
        return build_site(typer.echo)
    typer.echo("note: no page at /, because it is not built yet: bash run.sh web --build", err=True)
    return None


def benchmark_serve(
    model: Annotated[Path, typer.Argument(help="Exported file.")],
    clients: Annotated[int, typer.Option(help="Number of concurrent clients.", min=1)] = 64,
    seconds: Annotated[float, typer.Option(help="Duration of the load on each server, in seconds.", min=1)] = 60,
    threads: Threads = 2,
) -> None:
    """Load-test the server with many clients, and a plain FastAPI loop over the same file without batching.

    Each client sends one text after another, of the 326 that come with the program. Shows requests/s, latency p50 and
    p99, errors, and the memory of the server.

    Example:

        bash run.sh benchmark-serve model.onnx --clients 64 --seconds 60
    """
    from power_bert.benchmarks.serving_load import load_text, measure_load
    from power_bert.export.check_texts import own_check_texts
    from power_bert_runtime import Classifier

    with Classifier(model) as classifier:
        texts = own_check_texts(classifier.takes_pairs)
    examples = [list(example) for example in zip(*filter(None, (texts.first, texts.second)), strict=True)]
    typer.echo(load_text(measure_load(model, examples, clients, seconds, threads), clients))


serve = serve_command(_open, _built_page, _HELP)
