"""Timing of .tflite files side by side."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from power_bert.errors import UserError


def write_model(path: Path, flops: int) -> Path:
    """A .tflite file with the inputs of a classifier that does next to nothing."""
    import json

    import tensorflow as tf

    from power_bert.export.conversion import convert
    from power_bert.export.model_file import append_files, pack_model

    model = convert(lambda ids, mask, segments: tf.cast(ids + mask + segments, tf.float32), 6)
    settings = {"max_length": 6, "flops": {"6": flops}}
    path.write_bytes(append_files(pack_model(model), {"power_bert.json": json.dumps(settings).encode()}))
    return path


def test_files_in_turns(tmp_path: Path) -> None:
    from power_bert.benchmarks.litert_latency import measure_files

    paths = [write_model(tmp_path / "slow.tflite", 300), write_model(tmp_path / "fast.tflite", 100)]
    latencies = measure_files(paths, threads=1, runs=10)
    assert [latency.path for latency in latencies] == paths
    assert all(0 < latency.p50_ms <= latency.p95_ms and latency.runs >= 10 for latency in latencies)
    assert [latency.flops for latency in latencies] == [300, 100] and latencies[0].length == 6


def test_the_timed_text_has_words_from_all_over_the_vocabulary() -> None:
    from power_bert.benchmarks.litert_latency import _input

    ids = _input("ids", (1, 6), 1001)
    assert ids.dtype == "int32" and ids.tolist() == [[1, 200, 400, 600, 800, 1000]]
    assert _input("mask", (1, 3), 1001).tolist() == [[1, 1, 1]]
    assert _input("segment_ids", (1, 3), 1001).tolist() == [[0, 0, 0]]


def test_a_missing_file(tmp_path: Path) -> None:
    from power_bert.benchmarks.litert_latency import measure_files

    with pytest.raises(UserError, match="cannot be read"):
        measure_files([tmp_path / "none.tflite"], threads=1, runs=1)


def test_files_alternate_and_the_first_runs_of_a_turn_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    from power_bert.benchmarks import litert_latency

    order: list[str] = []

    def stored(path: Path) -> Any:
        settings = {"max_length": 64, "flops": {"64": 7, "32": 3}} if path.name == "a" else {}
        return SimpleNamespace(path=path, size_bytes=12, settings=settings, files={})

    @contextlib.contextmanager
    def worker(model: Any, threads: int) -> Iterator[Callable[[int], list[float]]]:
        def run(times: int) -> list[float]:
            order.append(model.path.name)
            return [1000.0, 900.0, *(float(number) for number in range(1, times - 1))]

        yield run

    monkeypatch.setattr(litert_latency, "read_stored_model", stored)
    monkeypatch.setattr(litert_latency, "_worker", worker)
    known, foreign = litert_latency.measure_files([Path("a"), Path("b")], threads=2, runs=9)
    assert order == ["a", "b"] * 2
    assert (known.runs, known.p50_ms, known.threads, known.size_bytes) == (16, 4.5, 2, 12), "9 runs, rounded up"
    assert known.p50_ms < known.p95_ms <= 8.0
    assert (known.length, known.flops) == (64, 7)
    assert (foreign.length, foreign.flops) == (0, None), "a file of another program does not say"
