"""Timing of exported files of all formats side by side."""

from pathlib import Path
from typing import Any

import pytest

from power_bert.errors import UserError


def test_files_in_turns(onnx_file: Path) -> None:
    from power_bert.benchmarks.export_latency import export_frame, export_text, measure_exports
    from power_bert.benchmarks.turns import BUCKETED, ONE_BY_ONE, PADDED

    texts = ["the cat sat", "the dog", "a mouse"]
    latencies = measure_exports([onnx_file, onnx_file], texts, threads=1, runs=5)
    # The max length is 21, so the longer lengths are left out.
    assert list(latencies[0].milliseconds) == ["1 × 16", "32 × 16", ONE_BY_ONE, BUCKETED, PADDED]
    assert list(latencies[0].examples.values()) == [1, 32, 1, 3, 3]
    for latency in latencies:
        assert all(len(times) >= 5 and min(times) > 0 for times in latency.milliseconds.values())
    text = export_text(latencies, 1, len(texts))
    assert (
        "1 thread, without tokenization; ×: faster than model.onnx" in text and "3 texts at their real lengths" in text
    )
    assert text.count("onnxruntime") == 2 and "1.00×" in text
    frame = export_frame(latencies, 1)
    assert len(frame) == 10 and set(frame["workload"]) == set(latencies[0].milliseconds)


def test_the_timed_text_has_tokens_from_all_over_the_vocabulary() -> None:
    from power_bert.benchmarks.export_latency import synthetic_workloads

    workloads = {workload.name: workload for workload in synthetic_workloads(1001, 64)}
    assert list(workloads) == ["1 × 16", "1 × 32", "1 × 64", "32 × 16", "32 × 32", "32 × 64"]
    (encoded,) = workloads["1 × 16"].calls
    assert encoded.lengths.tolist() == [16] and encoded.ids[[0, -1]].tolist() == [1, 1000]
    assert len(set(encoded.ids.tolist())) == 16
    assert workloads["32 × 64"].calls[0].lengths.tolist() == [64] * 32


def test_files_that_cannot_be_timed(tmp_path: Path, onnx_file: Path) -> None:
    from power_bert.benchmarks.export_latency import measure_exports

    with pytest.raises(UserError, match="cannot be read"):
        measure_exports([tmp_path / "none.tflite"], [], threads=1, runs=1)
    with pytest.raises(UserError, match="expected a text"):
        measure_exports([onnx_file], [("a", "b")], threads=1, runs=1)


def latency(name: str, milliseconds: dict[str, list[float]], flops: float | None = None, **facts: Any) -> Any:
    from power_bert.benchmarks.export_latency import ExportLatency

    examples = {"1 × 16": 1, "32 × 16": 32, "one by one": 1, "bucketed": 8, "padded": 8}
    facts = {"runtime": "onnxruntime", "quantization": "none", "size_bytes": 1_500_000, **facts}
    return ExportLatency(
        Path(f"out/{name}"),
        **facts,
        flops=flops,
        milliseconds=milliseconds,
        examples={x: examples[x] for x in milliseconds},
    )


def test_each_figure_is_compared_with_that_of_the_first_file() -> None:
    from power_bert.benchmarks.export_latency import export_frame, export_text

    slow = latency("bert.onnx", {"1 × 16": [8.0, 10.0, 12.0], "32 × 16": [100.0]}, flops=300.0)
    fast = latency("power.tflite", {"1 × 16": [4.0], "32 × 16": [40.0]}, 100.0, runtime="LiteRT", size_bytes=400_000)
    first, second, third, *_ = (part.splitlines() for part in export_text([slow, fast], 2, 0).split("\n\n")[1:])
    header, one, two = (line.split() for line in first)
    assert header == ["file", "runtime", "quantization", "MB", "FLOPs", "÷"]
    assert one[1:] == ["onnxruntime", "none", "1.5", "1.00"] and two[1:] == ["LiteRT", "none", "0.4", "3.00"]
    assert second == ["one example of so many tokens: p50 (p95) in ms"]
    assert third[1].split() == ["out/bert.onnx", "10.00", "(11.80)", "1.00×"]
    assert third[2].split() == ["out/power.tflite", "4.00", "(4.00)", "2.50×"]
    text = export_text([slow, fast], 2, 0)
    assert text.startswith("2 threads, without tokenization; ×: faster than bert.onnx")
    assert "800  2.50×" in text and "320  1.00×" in text, "32 examples in 40 and in 100 ms"
    assert "real lengths" not in text, "there were no texts"
    rows = export_frame([slow, fast], 2).to_dict("records")
    assert [(row["workload"], row["calls"], row["p50_ms"]) for row in rows[:2]] == [
        ("1 × 16", 3, 10.0),
        ("32 × 16", 1, 100.0),
    ]
    assert rows[3]["examples_per_second"] == 800.0 and rows[0]["threads"] == 2


def test_flops_that_a_file_does_not_name_are_left_open() -> None:
    from power_bert.benchmarks.export_latency import export_text

    files = [latency("a.onnx", {"1 × 16": [1.0]}), latency("b.onnx", {"1 × 16": [1.0]}, flops=5.0)]
    for order in (files, files[::-1]):
        table = export_text(order, 1, 0).split("\n\n")[1].splitlines()
        known = [line.split()[4:] for line in table[1:]]
        assert sorted(known) == [[], ["1.00"]] if order[0].flops else known == [[], []]


def test_workloads_of_a_short_model() -> None:
    from power_bert.benchmarks.export_latency import synthetic_workloads

    assert [workload.name for workload in synthetic_workloads(100, 11)] == ["1 × 11", "32 × 11"]


def test_texts_run_alone_in_buckets_and_padded() -> None:
    from power_bert.benchmarks.export_latency import text_workloads
    from power_bert_runtime.encoded_texts import EncodedTexts

    class Lengths:
        """Encodes a text as its characters."""

        @staticmethod
        def encode(texts: list[str]) -> EncodedTexts:
            rows = [list(map(ord, text)) for text in texts]
            return EncodedTexts.from_rows(rows, [len(row) for row in rows])

    ones, bucketed, padded = text_workloads(Lengths(), ["abc", "a", "ab"])  # type: ignore[arg-type]
    assert [call.lengths.tolist() for call in ones.calls] == [[3], [1], [2]] and ones.examples == 1
    assert [call.lengths.tolist() for call in bucketed.calls] == [[3, 1, 2]] and bucketed.examples == 3
    assert (ones.is_padded, bucketed.is_padded, padded.is_padded) == (False, False, True)


def test_percentiles_of_the_kept_calls() -> None:
    first = latency("a.onnx", {"1 × 16": [1.0, 2.0, 3.0, 4.0] * 2})
    assert first.p50("1 × 16") == 2.5 and first.p95("1 × 16") == 4.0
