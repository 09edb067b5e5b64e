"""Milliseconds of .tflite files side by side, one example at a time, beside what their FLOPs predict."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from power_bert.errors import UserError
from power_bert.export.model_file import VOCABULARY_FILE
from power_bert.export.stored_model import StoredModel, read_stored_model
from power_bert.quiet import native_stderr_held_back
from power_bert.text_table import text_table

_WARM_UP_RUNS = 5
_RUNS_A_TURN = 10
# The first runs of a turn find the caches filled by another process.
_DROPPED_A_TURN = 2


@dataclass(frozen=True)
class FileLatency:
    """One file, timed.

    Attributes:
        path: of the file.
        length: word pieces of its input.
        flops: of one input without padding; None where the file does not say.
        size_bytes: of the file.
        threads: of the runtime.
        runs: timed ones.
        p50_ms: median.
        p95_ms: 19 of 20 runs are faster.
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
    """Time files in turns of a few runs each, so that other load on the machine hits all alike.

    Args:
        paths: .tflite files of this project, of which the primary signature runs.
        threads: of the runtime, for one operation.
        runs: timed runs of each file, rounded up to whole turns.

    Raises:
        UserError: a file is missing, damaged or cannot be run.
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
    """A function that has a process of its own run the file so often, and returns the milliseconds of each run.

    A process a file, because the threads that one interpreter keeps waiting would slow the next one down.
    """
    path = stored.path
    pieces = max(stored.files.get(VOCABULARY_FILE, b"").count(b"\n"), 2)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(str(path), threads, pieces, theirs), daemon=True)
    process.start()
    theirs.close()

    def run(times: int) -> list[float]:
        try:
            ours.send(times)
            milliseconds: list[float] = ours.recv()
        except (EOFError, BrokenPipeError):
            raise UserError(f"{path}: LiteRT cannot run it (what it said is above)") from None
        return milliseconds

    try:
        yield run
    finally:
        process.kill()
        process.join()


def _serve(path: str, threads: int, pieces: int, connection: Connection) -> None:
    """In the process of a file: answer every number of runs with their milliseconds."""
    from ai_edge_litert.interpreter import Interpreter

    with native_stderr_held_back():
        interpreter = Interpreter(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], _input(details["name"], details["shape"], pieces))
    for _ in range(_WARM_UP_RUNS):
        interpreter.invoke()
    while True:
        milliseconds = []
        for _ in range(connection.recv()):
            start = time.perf_counter()
            interpreter.invoke()
            milliseconds.append(1e3 * (time.perf_counter() - start))
        connection.send(milliseconds)


def _input(name: str, shape: Sequence[int], pieces: int) -> np.ndarray:
    """int32 of a shape: a text without padding, of word pieces from all over a vocabulary of so many.

    One word over and over would find its row of the embeddings in the cache each time.
    """
    if name.startswith("ids"):
        return np.linspace(1, pieces - 1, int(np.prod(shape))).astype(np.int32).reshape(shape)
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


def latency_text(latencies: Sequence[FileLatency]) -> str:
    """Each file beside the first one: how many times faster, what its FLOPs predict, and the share that was reached."""
    first = latencies[0]
    rows = [("file", "MB", "length", "p50 ms", "p95 ms", "× faster", "FLOPs predict", "reached")]
    for latency in latencies:
        faster = first.p50_ms / latency.p50_ms
        predicted = first.flops / latency.flops if first.flops and latency.flops else None
        rows.append(
            (
                str(latency.path),
                f"{latency.size_bytes / 1e6:.1f}",
                str(latency.length or "?"),
                f"{latency.p50_ms:.2f}",
                f"{latency.p95_ms:.2f}",
                f"{faster:.2f}",
                f"{predicted:.2f}" if predicted else "",
                f"{faster / predicted:.2f}" if predicted else "",
            )
        )
    threads = f"{first.threads} thread{'' if first.threads == 1 else 's'}"
    title = f"one example at a time, without tokenising, {threads}, {first.runs} runs"
    return "\n".join([title, "", *text_table(rows)])
