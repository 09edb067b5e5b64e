"""Latency of .tflite files side by side, one example at a time, compared with what their FLOPs predict."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from power_bert.child_processes import start_child
from power_bert.errors import UserError
from power_bert.export.stored_model import StoredModel, read_stored_model
from power_bert_runtime.contents import VOCABULARY_FILE
from power_bert_runtime.native_stderr import native_stderr_held_back

_WARM_UP_RUNS = 5
_RUNS_A_TURN = 10
# In the first runs of a turn the caches still hold the data of another process.
_DROPPED_A_TURN = 2


@dataclass(frozen=True)
class FileLatency:
    """Latency of one file.

    Attributes:
        path: The .tflite file.
        length: Number of tokens of its input.
        flops: FLOPs of one input without padding; None if the file does not say.
        size_bytes: Size of the file.
        threads: Number of threads of the runtime.
        runs: Number of timed runs.
        p50_ms: Median latency.
        p95_ms: 95th percentile of the latency.
    """

    path: Path
    length: int
    flops: int | None
    size_bytes: int
    threads: int
    runs: int
    p50_ms: float
    p95_ms: float


def measure_files(paths: Sequence[Path], threads: int, runs: int) -> list[FileLatency]:
    """Time files in turns of a few runs each, so that other load on the machine affects all of them alike.

    Args:
        paths: .tflite files of this project, whose primary signature is run.
        threads: Number of threads of the runtime for one operation.
        runs: Number of timed runs of each file, rounded up to whole turns.

    Raises:
        UserError: A file is missing, damaged or cannot be run.
    """
    stored = [read_stored_model(path) for path in paths]
    milliseconds: list[list[float]] = [[] for _ in paths]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_worker(model, threads)) for model in stored]
        for _ in range(-(-runs // (_RUNS_A_TURN - _DROPPED_A_TURN))):
            for worker, so_far in zip(workers, milliseconds, strict=True):
                so_far += worker(_RUNS_A_TURN)[_DROPPED_A_TURN:]
    return [_latency(model, times, threads) for model, times in zip(stored, milliseconds, strict=True)]


@contextlib.contextmanager
def _worker(stored: StoredModel, threads: int) -> Iterator[Callable[[int], list[float]]]:
    """Yield a function that runs the file a number of times and returns the milliseconds of each run.

    Each file runs in its own process, because the waiting threads of one interpreter would slow the next one down.
    """
    path = stored.path
    vocabulary_size = max(stored.files.get(VOCABULARY_FILE, b"").count(b"\n"), 2)
    child = start_child(_serve, str(path), threads, vocabulary_size)

    def run(times: int) -> list[float]:
        try:
            child.connection.send(times)
            milliseconds: list[float] = child.connection.recv()
        except (EOFError, BrokenPipeError):
            raise UserError(f"{path}: LiteRT cannot run it (what it said is above)") from None
        return milliseconds

    try:
        yield run
    finally:
        child.process.kill()
        child.process.join()


def _serve(path: str, threads: int, vocabulary_size: int, connection: Connection) -> None:
    """Answer each number of runs with their milliseconds, in the process of a file."""
    from ai_edge_litert.interpreter import Interpreter

    with native_stderr_held_back():
        interpreter = Interpreter(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], _input(details["name"], details["shape"], vocabulary_size))
    for _ in range(_WARM_UP_RUNS):
        interpreter.invoke()
    while True:
        milliseconds = []
        for _ in range(connection.recv()):
            start = time.perf_counter()
            interpreter.invoke()
            milliseconds.append(1e3 * (time.perf_counter() - start))
        connection.send(milliseconds)


def _input(name: str, shape: Sequence[int], vocabulary_size: int) -> np.ndarray:
    """Return an int32 input of the given shape: a text without padding, of tokens from all over the vocabulary.

    One token repeated would find its row of the embedding table in the cache every time.
    """
    if name.startswith("ids"):
        return np.linspace(1, vocabulary_size - 1, int(np.prod(shape))).astype(np.int32).reshape(shape)
    return np.full(shape, int(not name.startswith("segment")), np.int32)


def _latency(stored: StoredModel, milliseconds: list[float], threads: int) -> FileLatency:
    flops = stored.settings.get("flops", {})
    length = stored.settings.get("max_length", 0)
    return FileLatency(
        path=stored.path,
        length=length,
        flops=flops.get(str(length)),
        size_bytes=stored.size_bytes,
        threads=threads,
        runs=len(milliseconds),
        p50_ms=float(np.percentile(milliseconds, 50)),
        p95_ms=float(np.percentile(milliseconds, 95)),
    )
