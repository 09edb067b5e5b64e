"""Tests of power_bert.benchmarks.similarity_speed."""

import io

import pytest
from rich.console import Console

from power_bert.benchmarks.similarity_speed import measure_similarities, similarity_table
from power_bert.model.similarity import SIMILARITIES


@pytest.mark.slow
def test_every_similarity_in_half_precision() -> None:
    timings = measure_similarities(8, 2, num_layers=1, repeats=1, dtype="mixed_bfloat16")
    assert {kind: list(of_kind) for kind, of_kind in timings.items()} == {
        "inference": list(SIMILARITIES),
        "training": list(SIMILARITIES),
    }
    console = Console(file=io.StringIO(), width=120)
    console.print(similarity_table(timings))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "batch 2" in shown and all(f"│ {name} " in shown for name in SIMILARITIES)
