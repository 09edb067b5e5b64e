"""Timing of .tflite files side by side."""

from pathlib import Path

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
    from power_bert.analysis.litert_latency import latency_text, measure_files

    paths = [write_model(tmp_path / "slow.tflite", 300), write_model(tmp_path / "fast.tflite", 100)]
    latencies = measure_files(paths, threads=1, runs=10)
    assert [latency.path for latency in latencies] == paths
    assert all(0 < latency.p50_ms <= latency.p95_ms and latency.runs >= 10 for latency in latencies)
    title, _, header, slow, fast = latency_text(latencies).splitlines()
    assert title.endswith(f"{latencies[0].runs} runs") and header.split()[0] == "file"
    assert slow.split()[0] == str(paths[0]) and slow.split()[5:] == ["1.00", "1.00", "1.00"]
    assert fast.split()[0] == str(paths[1]) and fast.split()[6] == "3.00"  # what FLOPs predict


def test_the_timed_text_has_words_from_all_over_the_vocabulary() -> None:
    from power_bert.analysis.litert_latency import _input

    ids = _input("ids", (1, 6), 1001)
    assert ids.dtype == "int32" and ids.tolist() == [[1, 200, 400, 600, 800, 1000]]
    assert _input("mask", (1, 3), 1001).tolist() == [[1, 1, 1]]
    assert _input("segment_ids", (1, 3), 1001).tolist() == [[0, 0, 0]]


def test_a_missing_file(tmp_path: Path) -> None:
    from power_bert.analysis.litert_latency import measure_files

    with pytest.raises(UserError, match="cannot be read"):
        measure_files([tmp_path / "none.tflite"], threads=1, runs=1)
