"""Latency and throughput of exported files of all formats side by side, each in its own process, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from power_bert.benchmarks.turns import (
    BUCKETED,
    ONE_BY_ONE,
    PADDED,
    answer_error,
    answer_turns,
    measure_in_turns,
    worker,
)
from power_bert.errors import UserError
from power_bert.result_tables import text_table, to_frame
from power_bert_runtime import Classifier
from power_bert_runtime.encoded_texts import EncodedTexts

LENGTHS = (16, 32, 64, 128)
BATCH_SIZE = 32


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
        runs: Timed calls of each workload and file, rounded up to whole turns; at most 8 where a call runs all texts.

    Raises:
        UserError: A file is missing, damaged or cannot be run, or does not take the texts.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(path, _serve, path, texts, threads)) for path in paths]
        measured = measure_in_turns(workers, runs, BATCH_SIZE)
    return [
        ExportLatency(path, **one.facts, milliseconds=one.milliseconds, examples=one.examples)
        for path, one in zip(paths, measured, strict=True)
    ]


def _serve(path: Path, texts: Sequence[Any], threads: int, connection: Connection) -> None:
    """Answer each request with the milliseconds of its calls, in the process of a file."""
    try:
        classifier = Classifier(path, threads=threads, batch_size=BATCH_SIZE)
        workloads = synthetic_workloads(classifier.vocabulary_size, classifier.max_length)
        if texts:
            workloads += text_workloads(classifier, texts)
    except UserError as error:
        answer_error(connection, error)
        return
    calls = {workload.name: (workload.examples, _calls(classifier, workload)) for workload in workloads}
    answer_turns(connection, _facts(classifier), calls)


def _calls(classifier: Classifier, workload: Workload) -> list[Callable[[], Any]]:
    pad_to = classifier.max_length if workload.is_padded else None
    return [partial(classifier.run, encoded, pad_to) for encoded in workload.calls]


def _facts(classifier: Classifier) -> dict[str, Any]:
    settings = classifier.metadata
    return {
        "runtime": classifier.runtime,
        "quantization": settings.get("quantization", "?"),
        "size_bytes": classifier.size_bytes,
        "flops": settings.get("flops", {}).get(str(classifier.max_length)),
    }


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
