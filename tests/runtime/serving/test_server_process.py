"""A server in a process of its own, with real connections."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from power_bert_runtime import UserError
from power_bert_runtime.serving import server_process
from power_bert_runtime.serving.hosted_models import load_models
from power_bert_runtime.serving.server_process import serve
from power_bert_runtime.serving.server_settings import ServerSettings

HERE = Path(__file__).parent
PROJECT_ROOT = HERE.parents[2]
PROGRAM = HERE / "serve_word_counter.py"
ADVICE = (
    "python3 -m venv .venv-tritonclient && .venv-tritonclient/bin/pip install -r "
    "tests/runtime/serving/requirements-tritonclient.txt"
)
Start = Callable[[float], tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server whose batches take the given seconds; returns its process and its address."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with ExitStack() as stack:

        def run(seconds: float) -> tuple[subprocess.Popen[str], str]:
            command = [sys.executable, str(PROGRAM), str(seconds)]
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
            stack.callback(process.kill)
            assert process.stderr is not None
            entry = json.loads(process.stderr.readline())
            assert entry["message"] == "serving"
            _wait_for(lambda: httpx2.get(f"{entry['address']}/v2/health/ready").status_code == 200)
            return process, entry["address"]

        yield run


def _wait_for(is_true: Callable[[], bool]) -> None:
    for _ in range(200):
        with suppress(httpx2.TransportError):
            if is_true():
                return
        time.sleep(0.05)
    raise AssertionError("it never became true")


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_accepted_requests_are_finished(start: Start, end: signal.Signals) -> None:
    process, address = start(3.0)
    answers: list[Any] = []

    def ask(text: str) -> None:
        answers.append(httpx2.post(f"{address}/predict", json={"inputs": text}, timeout=30))

    # The first is being computed and the second waits in the queue when the signal comes.
    threads = [threading.Thread(target=ask, args=(text,)) for text in ("one two", "one two three")]
    threads[0].start()
    time.sleep(1.0)  # longer than requests are collected for one batch
    threads[1].start()
    _wait_for(lambda: 'power_bert_queue_examples{model="counter"} 1.0' in httpx2.get(f"{address}/metrics").text)
    process.send_signal(end)
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]
    log = process.communicate(timeout=20)[1].splitlines()
    assert process.returncode == 0
    assert "closed" in log and sum('"path": "/predict"' in line and '"status": 200' in line for line in log) == 2
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)


@pytest.mark.slow
def test_a_client_that_none_of_us_wrote(start: Start) -> None:
    """NVIDIA's client of the Open Inference Protocol, with tensors in JSON and in binary form."""
    python = PROJECT_ROOT / ".venv-tritonclient" / "bin" / "python"
    if not python.exists():
        reason = f"NVIDIA's client is not installed: {ADVICE}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    _, address = start(0.0)
    command = [
        str(python),
        str(HERE / "tritonclient_infer.py"),
        address,
        "counter",
        "one two",
        "\u4e2d a b c d e f g h",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert seen["ready"] == [True, True, True]
    assert [each["name"] for each in seen["metadata"]["outputs"]] == ["probabilities", "label"]
    for result in seen["results"]:
        assert np.array(result["probabilities"]) == pytest.approx(np.array([[0.8, 0.2], [0.1, 0.9]]), abs=1e-6)
        assert (result["labels"], result["id"]) == (["short", "long"], "7")
    assert len(seen["results"]) == 4
    assert seen["error"] == "400 inputs: ids; counter takes text"


def test_a_port_in_use_is_named_before_models_are_loaded() -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1, port {port}: cannot be used .*choose another with --port"):
            serve(load, ServerSettings(port=port), None)
    with pytest.raises(UserError, match=r"no\.such\.host\.invalid, port 8080: cannot be used"):
        server_process.serve(load, ServerSettings(host="no.such.host.invalid"), None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_port_is_free_again_if_the_models_cannot_be_loaded(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            pytest.skip(f"no address {host} here")
        port = probe.getsockname()[1]

    def load() -> Any:
        with socket.socket(family) as other, pytest.raises(OSError, match="in use"):
            other.bind((host, port))
        raise UserError("no model")

    with pytest.raises(UserError, match=r"^no model$"):
        serve(load, ServerSettings(host=host, port=port), None)
    with socket.socket(family) as again:
        again.bind((host, port))


def test_processes_are_ended_even_if_the_orderly_end_is_skipped(
    counting_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a second Ctrl-C; one that hangs would keep the server alive."""
    model = counting_process()
    monkeypatch.setattr(server_process.uvicorn.Server, "run", lambda self, sockets: None)
    monkeypatch.setattr(server_process.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(server_process, "_configure_logs", lambda: None)
    serve(lambda: {"keras": model}, ServerSettings(port=0), None)
    assert model.is_closed


def test_a_port_that_does_not_exist() -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1, port 65536: cannot be used"):
        serve(lambda: pytest.fail("loaded"), ServerSettings(port=65536), None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a/model.onnx", "b/model.tflite"], "b/model.tflite: model is also the name of a/model.onnx"),
        (["x=a.onnx", "x=b.onnx"], "b.onnx: x is also the name of a.onnx"),
        (["my model.onnx"], "'my model' cannot be the name of a model"),
        (["=a.onnx"], "'' cannot be the name of a model"),
    ],
)
def test_names_of_models(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_models(arguments, lambda path: pytest.fail("loaded"))


def test_models_are_named_after_their_files() -> None:
    arguments = ["runs/power.onnx", "bert=runs/a=b.tflite", "runs/cola/first/"]
    loaded = load_models(arguments, lambda path: path)  # type: ignore[arg-type, return-value]
    assert loaded == {
        **{"power": "runs/power.onnx", "bert": "runs/a=b.tflite", "first": "runs/cola/first/"},
    }


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    for name in ("bert.onnx", "power.tflite", "power-32.tflite", "power-final.tflite", "texts.tsv"):
        (tmp_path / name).touch()
    (tmp_path / "run").mkdir()
    loaded = load_models([str(tmp_path), str(tmp_path / "run")], lambda path: path)  # type: ignore[arg-type, return-value]
    assert loaded == {
        **{"bert": f"{tmp_path}/bert.onnx", "power": f"{tmp_path}/power.tflite"},
        **{"power-final": f"{tmp_path}/power-final.tflite", "run": f"{tmp_path}/run"},
    }
