"""Latency and throughput of exported files of all formats side by side, each in its own process, in turns."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from power_bert.child_processes import start_child
from power_bert.errors import UserError
from power_bert.result_tables import text_table, to_frame
from power_bert_runtime import Classifier
from power_bert_runtime.encoded_texts import EncodedTexts

ONE_BY_ONE, BUCKETED, PADDED = "one by one", "bucketed", "padded"
LENGTHS = (16, 32, 64, 128)
BATCH_SIZE = 32
_DESCRIBE = "describe"
_WARM_UP_RUNS = 3
_RUNS_A_TURN = 5
# In the first run of a turn the caches still hold the data of another process.
_DROPPED_A_TURN = 1
# Largest number of timed calls that run all texts.
_PASSES = 8


@dataclass(frozen=True)
class Workload:
    """Examples that are run in one call, or one after the other.

    Attributes:
        name: Name for the table, such as "1 × 64".
        calls: Examples of each call; the calls are made in turn.
        is_padded: Whether they are padded to the max length, as without bucketing.
    """

    name: str
    calls: Sequence[EncodedTexts]
    is_padded: bool = False

    @property
    def examples(self) -> int:
        """Examples of a call."""
        return len(self.calls[0])


@dataclass(frozen=True)
class ExportLatency:
    """Latencies of one file.

    Attributes:
        path: The file.
        runtime: Runtime that ran it.
        quantization: Form of its quantization.
        size_bytes: Size of the file.
        flops: FLOPs of an example of the max length; None if the file does not say.
        milliseconds: Workload → milliseconds of each call.
        examples: Workload → examples of a call.
    """

    path: Path
    runtime: str
    quantization: str
    size_bytes: int
    flops: float | None
    milliseconds: Mapping[str, Sequence[float]]
    examples: Mapping[str, int]

    def p50(self, workload: str) -> float:
        return float(np.percentile(self.milliseconds[workload], 50))

    def p95(self, workload: str) -> float:
        return float(np.percentile(self.milliseconds[workload], 95))


def synthetic_workloads(vocabulary_size: int, max_length: int) -> list[Workload]:
    """Return examples without padding, one and `BATCH_SIZE` of each of `LENGTHS` up to the max length.

    Their tokens come from all over the vocabulary: one token repeated would find its row of the embedding table in the
    cache every time.
    """
    lengths = [length for length in LENGTHS if length <= max_length] or [max_length]
    workloads = []
    for batch in (1, BATCH_SIZE):
        for length in lengths:
            ids = np.linspace(1, vocabulary_size - 1, batch * length).astype(np.int32).reshape(batch, length)
            workloads.append(Workload(f"{batch} × {length}", [EncodedTexts.from_rows(list(ids), [length] * batch)]))
    return workloads


def text_workloads(classifier: Classifier, texts: Sequence[Any]) -> list[Workload]:
    """Return texts at their real lengths: one at a time, all in batches of similar length, and all padded."""
    ones, everything = [classifier.encode([text]) for text in texts], classifier.encode(texts)
    return [
        Workload(ONE_BY_ONE, ones),
        Workload(BUCKETED, [everything]),
        Workload(PADDED, [everything], is_padded=True),
    ]


def measure_exports(paths: Sequence[Path], texts: Sequence[Any], threads: int, runs: int) -> list[ExportLatency]:
    """Time files in turns of a few calls each, so that other load on the machine affects all of them alike.

    Args:
        paths: Exported files of any format, of models with the same inputs.
        texts: Texts, or pairs of texts, to run at their real lengths too; empty for none.
        threads: CPU threads of a call.
        runs: Timed calls of each workload and file, rounded up to whole turns; at most `_PASSES` where a call runs all
            texts.

    Raises:
        UserError: A file is missing, damaged or cannot be run, or does not take the texts.
    """
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_worker(path, texts, threads)) for path in paths]
        described = [worker(_DESCRIBE, 0) for worker in workers]
        examples = described[0]["workloads"]
        names = [name for name in examples if all(name in one["workloads"] for one in described)]
        milliseconds: list[dict[str, list[float]]] = [{name: [] for name in names} for _ in paths]
        turns = [name for name in names for _ in range(_turns(runs, examples[name]))]
        console = Console(stderr=True)
        for name in track(turns, "measuring", console=console, transient=True, disable=not console.is_terminal):
            for worker, so_far in zip(workers, milliseconds, strict=True):
                so_far[name] += worker(name, _RUNS_A_TURN)[_DROPPED_A_TURN:]
    return [
        ExportLatency(path, **one["facts"], milliseconds=measured, examples=one["workloads"])
        for path, one, measured in zip(paths, described, milliseconds, strict=True)
    ]


def _turns(runs: int, examples: int) -> int:
    """Return the number of turns of a workload with so many examples per call."""
    wanted = runs if examples <= BATCH_SIZE else min(runs, _PASSES)
    return -(-wanted // (_RUNS_A_TURN - _DROPPED_A_TURN))


@contextlib.contextmanager
def _worker(path: Path, texts: Sequence[Any], threads: int) -> Iterator[Callable[[str, int], Any]]:
    """Yield a function that asks the process of a file.

    Each file runs in its own process, because the waiting threads of one runtime would slow the next one down.
    """
    child = start_child(_serve, path, texts, threads)

    def ask(name: str, times: int) -> Any:
        try:
            child.connection.send((name, times))
            answer = child.connection.recv()
        except (EOFError, BrokenPipeError):
            raise UserError(f"{path}: cannot be run (what its runtime said is above)") from None
        if isinstance(answer, UserError):
            raise answer
        return answer

    try:
        yield ask
    finally:
        child.process.kill()
        child.process.join()


def _serve(path: Path, texts: Sequence[Any], threads: int, connection: Connection) -> None:
    """Answer each request with the milliseconds of its calls, in the process of a file."""
    try:
        classifier = Classifier(path, threads=threads, batch_size=BATCH_SIZE)
        workloads = synthetic_workloads(classifier.vocabulary_size, classifier.max_length)
        if texts:
            workloads += text_workloads(classifier, texts)
    except UserError as error:
        connection.recv()
        connection.send(error)
        return
    timers = {workload.name: _timer(classifier, workload) for workload in workloads}
    while True:
        name, times = connection.recv()
        if name == _DESCRIBE:
            examples = {workload.name: workload.examples for workload in workloads}
            connection.send({"facts": _facts(classifier), "workloads": examples})
        else:
            connection.send([next(timers[name]) for _ in range(times)])


def _facts(classifier: Classifier) -> dict[str, Any]:
    settings = classifier.metadata
    return {
        "runtime": classifier.runtime,
        "quantization": settings.get("quantization", "?"),
        "size_bytes": classifier.size_bytes,
        "flops": settings.get("flops", {}).get(str(classifier.max_length)),
    }


def _timer(classifier: Classifier, workload: Workload) -> Iterator[float]:
    """Yield the milliseconds of one call after the other, after a few that are not timed."""
    pad_to = classifier.max_length if workload.is_padded else None
    for encoded in itertools.islice(itertools.cycle(workload.calls), _WARM_UP_RUNS):
        classifier.run(encoded, pad_to)
    for encoded in itertools.cycle(workload.calls):
        start = time.perf_counter()
        classifier.run(encoded, pad_to)
        yield 1e3 * (time.perf_counter() - start)


def export_text(latencies: Sequence[ExportLatency], threads: int, texts: int) -> str:
    """Return tables for people: latency of one example by length, throughput of batches, and texts at real lengths.

    Args:
        latencies: Measured files; the others are compared with the first one.
        threads: CPU threads of a call.
        texts: Number of texts at their real lengths.
    """
    first = latencies[0]
    groups = {
        "one example of so many tokens: p50 (p95) in ms": [name for name in first.examples if name.startswith("1 × ")],
        f"batches of {BATCH_SIZE} examples of so many tokens: examples/s": [
            name for name in first.examples if name.startswith(f"{BATCH_SIZE} × ")
        ],
    }
    if texts:
        groups[f"{texts} texts at their real lengths: one by one in ms; all in batches of {BATCH_SIZE}, examples/s"] = [
            ONE_BY_ONE,
            BUCKETED,
            PADDED,
        ]
    facts = [
        {
            "file": one.path,
            "runtime": one.runtime,
            "quantization": one.quantization,
            "MB": f"{one.size_bytes / 1e6:.1f}",
            "FLOPs ÷": f"{first.flops / one.flops:.2f}" if first.flops and one.flops else "",
        }
        for one in latencies
    ]
    shown = f"{threads} thread{'' if threads == 1 else 's'}, without tokenization; ×: faster than {first.path.name}"
    parts = ["\n".join([shown, "", *text_table(to_frame(facts))])]
    for title, names in groups.items():
        rows = [{"file": one.path, **{name: _cell(one, first, name) for name in names}} for one in latencies]
        parts.append("\n".join([title, "", *text_table(to_frame(rows))]))
    return "\n\n".join(parts)


def export_frame(latencies: Sequence[ExportLatency], threads: int) -> pd.DataFrame:
    """Return a table for programs: a row for each file and workload."""
    return to_frame(
        {
            "file": str(one.path),
            "runtime": one.runtime,
            "quantization": one.quantization,
            "threads": threads,
            "workload": name,
            "calls": len(one.milliseconds[name]),
            "p50_ms": one.p50(name),
            "p95_ms": one.p95(name),
            "examples_per_second": 1e3 * one.examples[name] / one.p50(name),
        }
        for one in latencies
        for name in one.milliseconds
    )


def _cell(one: ExportLatency, first: ExportLatency, name: str) -> str:
    """Return the latency of calls of one example, or the throughput of larger ones, and how much faster it is."""
    figure = f"{one.p50(name):.2f} ({one.p95(name):.2f})"
    if one.examples[name] > 1:
        figure = f"{1e3 * one.examples[name] / one.p50(name):.0f}"
    return f"{figure}  {first.p50(name) / one.p50(name):.2f}×"
