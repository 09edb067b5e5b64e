"""Wall-clock time of an example, with and without elimination, on the clock of this machine.

Three ways to run the same examples through the same weights:

* ``fixed_padding``: every batch padded to the maximum length, no elimination (what papers compare with);
* ``bucketed``: batches of examples of similar length, padded to their bucket, no elimination (the honest rival);
* ``bucketed_eliminated``: the same batches with elimination.

What is timed is a pass over all batches: from NumPy arrays to results on the host, compiled, without tokenising and
padding, which are the same for all. Every timing records its device, its threads (those that the backend is
configured to use) and its batch size: compare numbers of one run only, and only where these agree.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from power_bert.analysis.timings import BUCKETED, BUCKETED_ELIMINATED, FIXED_PADDING
from power_bert.cores import available_cores
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import rebuild_classifier
from power_bert.text.batches import Batch, evaluation_batches
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.train.forward import Forward, compiled_forward


@dataclass(frozen=True)
class Timing:
    """One way to run the examples, timed.

    Attributes:
        name: of the way.
        batch_size: examples of a batch (of the largest one).
        examples: examples of a pass.
        threads: threads of the backend for one operation.
        device: "cpu", "gpu", … as the backend names it.
        seconds_per_example: median over the passes.
        examples_per_second: its inverse.
        repeats: timed passes; those that warm up are not among them.
    """

    name: str
    batch_size: int
    examples: int
    threads: int
    device: str
    seconds_per_example: float
    examples_per_second: float
    repeats: int


def measure(forward: Forward, batches: Sequence[Batch], repeats: int = 5, name: str = "forward") -> Timing:
    """Time one compiled function, see `measure_interleaved`."""
    return measure_interleaved({name: (forward, batches)}, repeats)[name]


def measure_interleaved(variants: Mapping[str, tuple[Forward, Sequence[Batch]]], repeats: int = 5) -> dict[str, Timing]:
    """Time several compiled functions in turns, so that other load on the machine hits all alike.

    One pass of each over all its batches compiles and warms up and is dropped. Then every repeat times one pass of
    each, in turn.

    Args:
        variants: name → the function and its batches.
        repeats: timed passes of each.

    Returns:
        name → its timing, in the order of `variants`.

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


def without_elimination(classifier: PowerBertTextClassifier) -> PowerBertTextClassifier:
    """A new classifier with the weights of `classifier`, whose blocks keep every word."""
    return rebuild_classifier(classifier, extraction=None, retention=None)


def compare_on_clock(
    classifier: PowerBertTextClassifier, encoded: EncodedTexts, max_length: int, batch_size: int = 32, repeats: int = 5
) -> dict[str, Timing]:
    """Time a classifier with elimination against itself without, on the same examples.

    Args:
        classifier: with hard extraction (any other is timed as it is).
        encoded: the examples.
        max_length: the length of fixed padding; no example is longer.
        batch_size: examples of a batch.
        repeats: timed passes of each way.

    Returns:
        Timings of `FIXED_PADDING`, `BUCKETED` and `BUCKETED_ELIMINATED`.
    """
    whole, eliminated = compiled_forward(without_elimination(classifier)), compiled_forward(classifier)
    padded = list(evaluation_batches(encoded, batch_size, max_length, pad_to=max_length))
    bucketed = list(evaluation_batches(encoded, batch_size, max_length))
    variants = {
        FIXED_PADDING: (whole, padded),
        BUCKETED: (whole, bucketed),
        BUCKETED_ELIMINATED: (eliminated, bucketed),
    }
    return measure_interleaved(variants, repeats)


def configured_threads() -> int:
    """Threads that the backend may use for one operation; where it is not told, the cores this process may use."""
    told = 0
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        told = tf.config.threading.get_intra_op_parallelism_threads()
        told = told or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    return told or available_cores()


def device_name() -> str:
    """Kind of the device that the backend computes on: "cpu" or "gpu"."""
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.default_backend())
    return "gpu" if keras.distribution.list_devices("gpu") else "cpu"


def processor_name() -> str:
    """The processor's model, as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _pass_seconds(forward: Forward, batches: Sequence[Batch]) -> float:
    """Seconds of one pass over the batches; every result is brought to the host, so nothing is left under way."""
    start = time.perf_counter()
    for batch in batches:
        np.asarray(forward(batch.inputs))
    return time.perf_counter() - start


def _timing(name: str, batches: Sequence[Batch], seconds: Sequence[float]) -> Timing:
    examples = sum(len(batch.rows) for batch in batches)
    median = statistics.median(seconds)
    return Timing(
        name=name,
        batch_size=max(len(batch.rows) for batch in batches),
        examples=examples,
        threads=configured_threads(),
        device=device_name(),
        seconds_per_example=median / examples,
        examples_per_second=examples / median,
        repeats=len(seconds),
    )
