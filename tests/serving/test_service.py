"""`serve` as a user calls it: a Keras run as the teacher of its own exported file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


def process_of_the_teacher(server: int) -> int:
    """Id of the process that computes the run: the spawned child of the server, not that which tracks resources."""
    lists = Path(f"/proc/{server}/task").glob("*/children")  # of the children that each thread has started
    children = [each for path in lists for each in path.read_text(encoding="utf-8").split()]
    (found,) = (each for each in children if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text(encoding="utf-8"))
    return int(found)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process in /proc")
def test_a_killed_and_a_stopped_teacher(stored_run: Path, onnx_file: Path) -> None:
    command = [*COMMAND, f"teacher={stored_run}", str(onnx_file), "--port", "0", "--threads", "1", "--shutdown", "2"]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        ThreadPoolExecutor(2) as pool,
        httpx2.Client(transport=httpx2.HTTPTransport(retries=5), timeout=60) as client,
    ):
        assert process.stderr is not None
        log: list[dict[str, Any]] = []
        try:
            address = next(json.loads(line) for line in process.stderr if line.startswith("{"))["address"]
            reading = pool.submit(
                lambda: log.extend(json.loads(line) for line in process.stderr or () if line.startswith("{"))
            )

            def predict(model: str) -> int:
                return client.post(f"{address}/predict", json={"inputs": "the cat", "model": model}).status_code

            def readiness(model: str = "") -> int:
                return client.get(f"{address}/v2/{f'models/{model}' if model else 'health'}/ready").status_code

            assert [predict("teacher"), predict("model"), readiness("teacher"), readiness()] == [200] * 4
            os.kill(process_of_the_teacher(process.pid), signal.SIGKILL)
            began = time.monotonic()
            while readiness("teacher") == 200:
                assert time.monotonic() - began < 10
            assert [readiness("teacher"), readiness(), readiness("model")] == [503, 503, 200]
            while readiness() == 503:
                start = time.monotonic()
                assert predict("model") == 200
                assert time.monotonic() - start < 5, "the other model waits for the start of the teacher"
                assert time.monotonic() - began < 120
            assert predict("teacher") == 200

            os.kill(process_of_the_teacher(process.pid), signal.SIGSTOP)
            pending = pool.submit(client.post, f"{address}/predict", json={"inputs": "the cat", "model": "teacher"})
            time.sleep(0.5)
            assert predict("model") == 200 and not pending.done()
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            answer = pending.result(30)
            assert answer.status_code == 503 and "the server is ending" in answer.json()["error"]
            assert process.wait(30) == 0
            assert time.monotonic() - began < 15
            reading.result()
        finally:
            process.kill()
    assert not [entry for entry in log if "traceback" in entry]


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
