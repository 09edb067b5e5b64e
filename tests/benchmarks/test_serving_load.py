"""Load on a server: which requests are sent, what is counted, and the table of the servers."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.benchmarks import serving_load
from power_bert.benchmarks.serving_load import PLAIN, SERVER, Load, load_text, measure_load
from power_bert.errors import UserError

BODIES = [json.dumps({"inputs": [text], "truncate": True}).encode() for text in ("one", "two", "three")]


class MadeUpServer:
    """Answers predictions with the given statuses in turn, and tells its memory."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = statuses
        self.bodies: list[bytes] = []
        self.connections = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            status, content = 200, b"other_metric 1\nprocess_resident_memory_bytes 2.5e+08\n"
            if head.startswith(b"POST /predict "):
                status, content = self.statuses[len(self.bodies) % len(self.statuses)], b"{}"
                self.bodies.append(body)
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Load]:
    """Loads a made-up server for half a second, in which a machine with other work answers too."""
    monkeypatch.setattr(serving_load, "_WARM_UP_S", 0.01)

    async def run(server: MadeUpServer, clients: int) -> Load:
        listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        measured = await serving_load._load(SERVER, port, BODIES, clients, 0.5)
        listening.close()
        return measured

    def call(server: MadeUpServer, clients: int) -> Load:
        coroutine: Coroutine[Any, Any, Load] = run(server, clients)
        return asyncio.run(coroutine)

    return call


def test_every_client_keeps_its_connection_and_sends_the_examples_in_turn(load: Callable[..., Load]) -> None:
    server = MadeUpServer(200)
    measured = load(server, 3)
    assert server.connections == 3 + 3 + 2, "warm-up, measurement, and the memory before and after"
    assert sorted(server.bodies[:3]) == sorted(BODIES) and sorted(server.bodies[3:6]) == sorted(BODIES)
    assert measured.errors == 0 and 0 < len(measured.latencies_ms) < len(server.bodies), "warm-up does not count"
    assert measured.memory_mb == (250.0, 250.0) and measured.server == SERVER


def test_only_answers_are_timed_and_the_rest_is_counted(load: Callable[..., Load]) -> None:
    measured = load(MadeUpServer(503), 2)
    assert len(measured.latencies_ms) == 0 and measured.errors > 0
    half = load(MadeUpServer(200, 503), 1)
    assert abs(len(half.latencies_ms) - half.errors) <= 1 and half.errors > 0


def test_the_table_of_the_servers() -> None:
    loads = [
        Load(SERVER, 2.0, np.arange(1.0, 102.0), 3, (100.4, 120.6)),
        Load(PLAIN, 2.0, np.array([8.0]), 0, (90.0, 95.0)),
    ]
    title, empty, header, *rows = load_text(loads, 64).splitlines()
    assert (title, empty) == ("64 clients, one text a request, 2 s each", "")
    assert " ".join(header.split()) == "server requests/s p50 ms p99 ms errors MB at start MB at end"
    assert [" ".join(row.split()) for row in rows] == [
        "serve 50.5 51.0 100.0 3 100 121",
        "plain FastAPI loop 0.5 8.0 8.0 0 90 95",
    ]


def test_a_server_that_answers_nothing_stays_in_the_table() -> None:
    loads = [Load(SERVER, 2.0, np.array([]), 9, (100.0, 100.0)), Load(PLAIN, 2.0, np.array([8.0]), 0, (90.0, 95.0))]
    assert load_text(loads, 1).splitlines()[3].split() == ["serve", "0.0", "-", "-", "9", "100", "100"]
    assert load_text(loads[:1], 1).splitlines()[3].split() == ["serve", "0.0", "-", "-", "9", "100", "100"]


def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.onnx: the server ended \(what it said is above\)"):
        measure_load(tmp_path / "none.onnx", [["one"]], clients=1, seconds=0.1, threads=1)


@pytest.mark.slow
def test_the_server_writes_its_log_as_the_command_does(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start, load_server = serving_load.start_child, serving_load._load
    files: list[Path] = []
    logs: list[str] = []

    def started(function: Any, *arguments: Any) -> Any:
        files.append(Path(arguments[-1]))
        return start(function, *arguments)

    async def loaded(*arguments: Any) -> Load:
        measured = await load_server(*arguments)
        logs.append(files[-1].read_text(encoding="utf-8"))
        return measured

    monkeypatch.setattr(serving_load, "_WARM_UP_S", 0.1)
    monkeypatch.setattr(serving_load, "start_child", started)
    monkeypatch.setattr(serving_load, "_load", loaded)
    loads = measure_load(onnx_file, [["the cat"], ["sat"]], clients=2, seconds=0.3, threads=1)
    assert [(load.server, load.errors) for load in loads] == [(SERVER, 0), (PLAIN, 0)]
    requests = [json.loads(line) for line in logs[0].splitlines()]
    answered = [each for each in requests if each.get("path") == "/predict" and each["status"] == 200]
    assert len(answered) >= len(loads[0].latencies_ms) > 0
    assert logs[1] == "", "the plain loop has none"
    assert '"path"' not in capfd.readouterr().err and not any(file.exists() for file in files)
