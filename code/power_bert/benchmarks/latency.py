"""Measured time per example, with and without elimination, on this machine.

Three variants run the same examples:

* ``fixed_padding``: every batch padded to the max length, no elimination (the baseline of papers);
* ``bucketed``: batches of examples of similar length, padded to their bucket, no elimination (the stronger baseline);
* ``bucketed_eliminated``: the same batches with elimination.

`time_single_texts` takes one example at a time instead, with and without elimination in turns.

One timing covers a pass over all batches, compiled, from NumPy arrays to results on the host; tokenization and padding
are not included. Every timing records its device, its batch size, how many batches run at once and the threads of each.
Compare only timings of one run that agree in these.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.predict.forward import Forward, compiled_forward
from power_bert.predict.parallel_batches import batches_at_once, forward_all, threads_of_operations
from power_bert.runs.timings import BUCKETED, BUCKETED_ELIMINATED, FIXED_PADDING
from power_bert.text.batches import Batch, evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts


@dataclass(frozen=True)
class Timing:
    """Timing of one variant.

    Attributes:
        name: Name of the variant.
        batch_size: Number of examples of the largest batch.
        examples: Number of examples of a pass.
        batches_at_once: Number of batches that run at once.
        threads: Number of threads of the backend for one operation.
        device: Device as the backend names it, such as "cpu" or "gpu".
        seconds_per_example: Time per example, median over the passes.
        examples_per_second: Throughput, the inverse of `seconds_per_example`.
        repeats: Number of timed passes, without the warm-up.
    """

    name: str
    batch_size: int
    examples: int
    batches_at_once: int
    threads: int
    device: str
    seconds_per_example: float
    examples_per_second: float
    repeats: int


def measure(forward: Forward, batches: Sequence[Batch], repeats: int = 5, name: str = "forward") -> Timing:
    """Time one compiled function as `measure_interleaved` does."""
    return measure_interleaved({name: (forward, batches)}, repeats)[name]


def measure_interleaved(variants: Mapping[str, tuple[Forward, Sequence[Batch]]], repeats: int = 5) -> dict[str, Timing]:
    """Time several compiled functions in turns, so that other load on the machine affects all of them alike.

    The first pass of each over all its batches compiles and warms up, and is not timed. Every repeat then times one
    pass of each, in turn.

    Args:
        variants: Name → function and its batches.
        repeats: Number of timed passes of each.

    Returns:
        Name → timing, in the order of `variants`.

    Raises:
        ValueError: `repeats` is less than 1, or a variant has no batches.
    """
    if repeats < 1 or not all(batches for _, batches in variants.values()):
        raise ValueError("expected at least one repeat, and batches for every variant")
    for forward, batches in variants.values():
        _pass_seconds(forward, batches)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, (forward, batches) in variants.items():
            seconds[name].append(_pass_seconds(forward, batches))
    return {name: _timing(name, batches, seconds[name]) for name, (_, batches) in variants.items()}


def compare_on_clock(
    full: PowerBertTextClassifier,
    eliminating: PowerBertTextClassifier,
    encoded: EncodedTexts,
    max_length: int,
    batch_size: int = 32,
    repeats: int = 5,
) -> dict[str, Timing]:
    """Time a classifier with elimination against one without, on the same examples.

    Args:
        full: Classifier with all tokens, heads and neurons.
        eliminating: Classifier with hard extraction.
        encoded: Examples to run.
        max_length: Length of fixed padding; no example is longer.
        batch_size: Number of examples of a batch.
        repeats: Number of timed passes of each variant.

    Returns:
        Timings of `FIXED_PADDING`, `BUCKETED` and `BUCKETED_ELIMINATED`.
    """
    whole, eliminated = compiled_forward(full), compiled_forward(eliminating)
    padded = list(evaluation_batches(encoded, batch_size, max_length, pad_to=max_length))
    bucketed = list(evaluation_batches(encoded, batch_size, max_length))
    variants = {
        FIXED_PADDING: (whole, padded),
        BUCKETED: (whole, bucketed),
        BUCKETED_ELIMINATED: (eliminated, bucketed),
    }
    return measure_interleaved(variants, repeats)


@dataclass(frozen=True)
class SingleTexts:
    """Latency of examples that run one at a time.

    Attributes:
        examples: Number of examples.
        p50_ms: Median over the examples, in ms; of each example the median over the repeats counts.
        p95_ms: 95th percentile over the examples.
        repeats: Number of timed runs of each example, without the warm-up.
    """

    examples: int
    p50_ms: float
    p95_ms: float
    repeats: int


def time_single_texts(
    forwards: Mapping[str, Forward], encoded: EncodedTexts, max_length: int, repeats: int = 5
) -> dict[str, SingleTexts]:
    """Time several compiled functions on one example after the other, in turns.

    Args:
        forwards: Name → function.
        encoded: Examples to run.
        max_length: Length that no example exceeds.
        repeats: Number of timed runs of each function on each example.

    Returns:
        Name → latency, in the order of `forwards`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in forwards}
    for batch in evaluation_batches(encoded, 1, max_length):
        runs: dict[str, list[float]] = {name: [] for name in forwards}
        for _ in range(repeats + 1):
            for name, forward in forwards.items():
                runs[name].append(_pass_seconds(forward, [batch]))
        for name, of_example in runs.items():
            seconds[name].append(statistics.median(of_example[1:]))
    latencies = {}
    for name, of_examples in seconds.items():
        p50, p95 = 1e3 * np.percentile(of_examples, [50, 95])
        latencies[name] = SingleTexts(len(of_examples), float(p50), float(p95), repeats)
    return latencies


def threads_in_use() -> int:
    """Return how many threads run a data set."""
    return batches_at_once() * threads_of_operations()


def device_name() -> str:
    """Return the kind of the device that the backend computes on: "cpu" or "gpu"."""
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.default_backend())
    return "gpu" if keras.distribution.list_devices("gpu") else "cpu"


def processor_name() -> str:
    """Return the model of the processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _pass_seconds(forward: Forward, batches: Sequence[Batch]) -> float:
    """Return the seconds of one pass; every result is copied to the host, so no computation is left pending."""
    start = time.perf_counter()
    forward_all(forward, batches)
    return time.perf_counter() - start


def _timing(name: str, batches: Sequence[Batch], seconds: Sequence[float]) -> Timing:
    examples = sum(len(batch.rows) for batch in batches)
    median = statistics.median(seconds)
    return Timing(
        name=name,
        batch_size=max(len(batch.rows) for batch in batches),
        examples=examples,
        batches_at_once=batches_at_once(),
        threads=threads_of_operations(),
        device=device_name(),
        seconds_per_example=median / examples,
        examples_per_second=examples / median,
        repeats=len(seconds),
    )
