"""A student that is compressed, from its run to the report."""

import csv
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.errors import UserError
from power_bert.runs.run_dir import DISTILL, read_run_json

# Large enough that its tables are compressed.
STUDENT = {"student": "mlp", "student_options": ("hidden_dims=(64, 32)",), "epochs": 2}


@pytest.fixture
def compress_tiny(distill_tiny: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Compresses the student of a tiny run, with the cache of that run; returns the new run and what was printed."""

    def run(before: Any, name: str = "small", quantize: str = "none", **changes: Any) -> tuple[Any, str]:
        from power_bert.experiments.student_compression import compress

        console = Console(file=io.StringIO(), width=200)
        changes = {"output_dir": str(tmp_path / name), **changes}
        small = compress(before.run_dir.path, changes, quantize, console=console, logits_folder=tmp_path / "logits")
        return small, console.file.getvalue()  # type: ignore[attr-defined]

    return run


def rows_of(run_dir: Any) -> list[dict[str, str]]:
    return list(csv.DictReader((run_dir.path / "compression.csv").read_text(encoding="utf-8").splitlines()))


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "dynamic"])
def test_a_student_is_pruned_and_clustered(
    distill_tiny: Callable[..., Any], compress_tiny: Callable[..., Any], quantize: str
) -> None:
    from power_bert.compression.weights import compressible
    from power_bert.runs.resolve_model import find_stored_phase

    before = distill_tiny("before", **STUDENT)
    small, said = compress_tiny(before, sparsity=0.6, clusters=8, epochs=4, quantize=quantize)
    assert "teacher forwards: 0 (cached)" in said
    for weight in compressible(find_stored_phase(small.path).load_classifier()):
        values = np.asarray(weight)
        assert (values == 0).mean() == pytest.approx(0.6, abs=0.01)
        assert len(np.unique(values)) <= 8
    first, second = rows_of(small)
    assert float(first["sparsity"]) < 0.01 and float(second["sparsity"]) == pytest.approx(0.6, abs=0.01)
    assert int(second["most_values"]) <= 8 < int(first["most_values"])
    assert int(second["zipped_bytes"]) < int(first["zipped_bytes"])
    assert float(second["accuracy"]) == read_run_json(small.phase(DISTILL).metrics)["scores"]["accuracy"]
    assert (small.path / "compression.txt").read_text(encoding="utf-8") in said


@pytest.mark.slow
def test_what_was_pruned_stays_so_where_weights_are_clustered(
    distill_tiny: Callable[..., Any], compress_tiny: Callable[..., Any]
) -> None:
    from power_bert.compression.weights import compressible
    from power_bert.runs.resolve_model import find_stored_phase

    def zeros(run_dir: Any) -> list[np.ndarray]:
        return [np.asarray(weight) == 0 for weight in compressible(find_stored_phase(run_dir.path).load_classifier())]

    pruned, _ = compress_tiny(distill_tiny("before", **STUDENT), sparsity=0.6, epochs=4)
    both, _ = compress_tiny(dataclasses.replace(distill_tiny("before", **STUDENT), run_dir=pruned), "both", clusters=8)
    for before, after in zip(zeros(pruned), zeros(both), strict=True):
        assert before.mean() == pytest.approx(0.6, abs=0.01)
        np.testing.assert_array_equal(after, before)
    further, _ = compress_tiny(
        dataclasses.replace(distill_tiny("before", **STUDENT), run_dir=pruned), "more", sparsity=0.8
    )
    for before, after in zip(zeros(pruned), zeros(further), strict=True):
        assert after.mean() == pytest.approx(0.8, abs=0.01) and after[before].all()


def test_what_cannot_be_compressed_is_refused(
    distill_tiny: Callable[..., Any], compress_tiny: Callable[..., Any]
) -> None:
    before = distill_tiny("before", student="linear", epochs=1)
    with pytest.raises(UserError, match="nothing to compress: give --sparsity"):
        compress_tiny(before)
    with pytest.raises(UserError, match="all its tensors are small"):
        compress_tiny(before, sparsity=0.5)
    with pytest.raises(UserError, match=r"--sparsity=1\.5 is out of range"):
        compress_tiny(before, sparsity=1.5)
    with pytest.raises(UserError, match="--clusters 1: expected 2 to 256"):
        compress_tiny(before, clusters=1)
    with pytest.raises(UserError, match="--block 1x4 is for pruning"):
        compress_tiny(before, clusters=4, block="1x4")
    other = dataclasses.replace(before, run_dir=type(before.run_dir)(before.run_dir.path / "none"))
    with pytest.raises(UserError, match="no run there"):
        compress_tiny(other, sparsity=0.5)


@pytest.mark.slow
def test_a_new_student_can_be_distilled_and_pruned_at_once(distill_tiny: Callable[..., Any]) -> None:
    from power_bert.compression.weights import compressible, measure_compression
    from power_bert.runs.resolve_model import find_stored_phase

    run = distill_tiny("sparse", **STUDENT, sparsity=0.5, block="1x4")
    weights = compressible(find_stored_phase(run.run_dir.path).load_classifier(), (1, 4))
    assert measure_compression(weights).sparsity == pytest.approx(0.5, abs=0.01)
