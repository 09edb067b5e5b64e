"""Load on the server: many clients at once, beside a plain FastAPI loop over the same model without batching."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from power_bert.child_processes import ChildProcess, start_child
from power_bert.errors import UserError
from power_bert.result_tables import text_table, to_frame

SERVER, PLAIN = "serve", "plain FastAPI loop"
_WARM_UP_S = 2.0
_RESIDENT = "process_resident_memory_bytes "


@dataclass(frozen=True)
class Load:
    """What one server does under load.

    Attributes:
        server: Which server.
        seconds: Duration.
        latencies_ms: Time of each answered request.
        errors: Requests that were not answered with status 200.
        memory_mb: Resident memory of the server at the start and at the end.
    """

    server: str
    seconds: float
    latencies_ms: np.ndarray
    errors: int
    memory_mb: tuple[float, float]


def measure_load(model: Path, examples: Sequence[list[str]], clients: int, seconds: float, threads: int) -> list[Load]:
    """Load each server in turn: every client sends its next request as soon as the last one is answered.

    Args:
        model: Exported file.
        examples: Texts or pairs of the requests, one for each request, in turn.
        clients: Number of clients at once.
        seconds: Duration for each server.
        threads: CPU threads of the model.

    Raises:
        UserError: A server does not start.
    """
    bodies = [json.dumps({"inputs": example, "truncate": True}).encode() for example in examples]
    loads = []
    for server in (SERVER, PLAIN):
        with tempfile.NamedTemporaryFile(suffix=".log") as log:
            child = start_child(_serve, server, str(model), threads, log.name)
            try:
                port = _port(Path(log.name), child) if server == SERVER else child.connection.recv()
                loads.append(asyncio.run(_load(server, port, bodies, clients, seconds)))
            except (EOFError, ConnectionError):
                raise UserError(f"{model}: the server ended (what it said is above)") from None
            finally:
                child.process.kill()
                child.process.join()
    return loads


def _serve(server: str, model: str, threads: int, log: str, connection: Connection) -> None:
    """Serve a model in this process: as the command `serve` does, with its log in a file, or plainly."""
    from power_bert_runtime import Classifier
    from power_bert_runtime.serving.server_settings import ServerSettings

    classifier = Classifier(model, threads=threads)
    if server == SERVER:
        from power_bert_runtime.serving.server_process import serve

        with open(log, "a", encoding="utf-8") as file, contextlib.redirect_stderr(file):
            serve(lambda: {"model": classifier}, ServerSettings(port=0), None)
        return
    import uvicorn

    from power_bert.benchmarks.plain_server import plain_app

    listener = socket.create_server(("127.0.0.1", 0))
    connection.send(listener.getsockname()[1])
    uvicorn.Server(uvicorn.Config(plain_app(classifier), log_level="warning", access_log=False)).run(sockets=[listener])


def _port(log: Path, child: ChildProcess) -> int:
    """Wait until the server listens at the address that its log names, and return the port."""
    while child.process.is_alive():
        time.sleep(0.05)
        first, complete, _ = log.read_text(encoding="utf-8").partition("\n")
        if complete:
            port = int(json.loads(first)["address"].rpartition(":")[2])
            # The address is logged a moment before the server listens.
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
                return port
    raise EOFError


async def _load(server: str, port: int, bodies: Sequence[bytes], clients: int, seconds: float) -> Load:
    turns = itertools.cycle(bodies)
    await _run_clients(port, turns, clients, _WARM_UP_S)
    before = await _resident_mb(port)
    began = time.perf_counter()
    latencies, errors = await _run_clients(port, turns, clients, seconds)
    lasted = time.perf_counter() - began
    return Load(server, lasted, np.array(latencies), errors, (before, await _resident_mb(port)))


async def _run_clients(
    port: int, bodies: itertools.cycle[bytes], clients: int, seconds: float
) -> tuple[list[float], int]:
    """Return the milliseconds of each request that was answered 200, and the number of others."""
    latencies: list[float] = []
    errors, end = 0, time.perf_counter() + seconds

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            status, _ = await _request(reader, writer, "POST /predict", next(bodies))
            if status == 200:
                latencies.append(1e3 * (time.perf_counter() - start))
            else:
                errors += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies, errors


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, operation: str, body: bytes
) -> tuple[int, bytes]:
    """Send a request over an open connection; return status and body of the answer."""
    head = f"{operation} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), await reader.readexactly(int(headers["content-length"]))


async def _resident_mb(port: int) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, metrics = await _request(reader, writer, "GET /metrics", b"")
    writer.close()
    (line,) = (line for line in metrics.decode().splitlines() if line.startswith(_RESIDENT))
    return float(line.removeprefix(_RESIDENT)) / 1e6


def load_text(loads: Sequence[Load], clients: int) -> str:
    """Return a table of the servers; one that answered nothing has no latencies."""
    rows = [
        {
            "server": load.server,
            "requests/s": f"{len(load.latencies_ms) / load.seconds:.1f}",
            **{
                f"p{percent} ms": f"{np.percentile(load.latencies_ms, percent):.1f}" if len(load.latencies_ms) else "-"
                for percent in (50, 99)
            },
            "errors": load.errors,
            "MB at start": f"{load.memory_mb[0]:.0f}",
            "MB at end": f"{load.memory_mb[1]:.0f}",
        }
        for load in loads
    ]
    title = f"{clients} clients, one text a request, {loads[0].seconds:.0f} s each"
    return "\n".join([title, "", *text_table(to_frame(rows))])
