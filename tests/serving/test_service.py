"""`serve` as a user calls it: a Keras run as the teacher of its own exported file."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console

pytest.importorskip("fastapi", reason="needs the extra 'serve': EXTRAS=serve bash run.sh test")

PROJECT_ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-P", str(PROJECT_ROOT / "code"), "serve"]
TEXTS = [["the cat sat"], ["sat the the cat cat sat"], ["the"]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(stored_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of the run and of its exported file."""
    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export
    from power_bert.runs.trained_model import load_trained_model

    file = tmp_path_factory.mktemp("exported") / "student.tflite"
    export(load_trained_model(str(stored_run)), file, ExportOptions(), Console(quiet=True))
    command = [
        *COMMAND,
        f"teacher={stored_run}",
        str(file),
        "--port",
        "0",
        "--threads",
        "1",
        "--compare-timeout",
        "300",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            entry = next(json.loads(line) for line in process.stderr if line.startswith("{"))
            yield entry["address"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
    assert process.returncode == 0


def ask(address: str, operation: str, body: Any, **headers: str) -> Any:
    transport = httpx2.HTTPTransport(retries=5)  # the address is logged a moment before the server listens
    with httpx2.Client(transport=transport, timeout=300) as client:
        return client.post(f"{address}/{operation}", json=body, headers=headers)


def test_the_file_answers_as_its_teacher(address: str) -> None:
    answer = ask(address, "compare", {"inputs": TEXTS, "repetitions": 2}).json()
    assert answer["teacher"] == "teacher"
    teacher, student = answer["models"]
    assert (teacher["runtime"], student["runtime"]) == ("tensorflow", "litert")
    assert student["agreement"] == 1.0 and student["cosine"] > 0.9999 and student["total_variation"] < 1e-4
    scores = [ask(address, "predict", {"inputs": TEXTS, "model": name}).json() for name in ("teacher", "student")]
    for one, other in zip(*scores, strict=True):
        assert [each["label"] for each in one] == [each["label"] for each in other]
        assert [each["score"] for each in one] == pytest.approx([each["score"] for each in other], abs=1e-4)
    rows = ask(address, "compare", {"inputs": TEXTS, "repetitions": 1}, Accept="text/csv").text.splitlines()
    assert len(rows) == 1 + 2 * len(TEXTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.onnx"], "nothing.onnx"),
        (["nothing"], "nothing"),
        (["a=x.onnx", "a=y.onnx"], "a is also the name of x.onnx"),
        (["x.onnx", "--token-file", "nothing"], "nothing: cannot be read"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    ended = subprocess.run(
        [*COMMAND, *arguments, "--port", "0"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in ended.stderr.splitlines() if not line.startswith("note: ")]
    assert ended.returncode == 2 and len(errors) == 1, ended.stderr
    assert errors[0].startswith("error: ") and message in errors[0]
