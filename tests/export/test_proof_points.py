"""Proof points: what the tables say, and the whole road on a tiny checkpoint."""

import csv
import io
import json
from pathlib import Path

import pytest


def points() -> list:
    from power_bert.export.proof_points import ProofPoint

    return [
        ProofPoint(
            name="BERT",
            file="out/1_none.tflite",
            keras_scores={"matthews": 0.5},
            litert_scores={"matthews": 0.4999},
            build_seconds=61.4,
            evaluation_seconds=2.04,
            file_bytes=90_500_000,
            latencies={1: (30.0, 31.5), 2: (15.08, 16.0)},
        ),
        ProofPoint("BERT, int8", None, {"matthews": 0.5}, None, 50.0, None, None, {}, "differs too much from Keras"),
    ]


def test_text_names_what_was_not_made() -> None:
    from power_bert.export.proof_points import proof_text

    header, made, not_made, empty, problem = proof_text(points()).splitlines()
    assert header.split("  ")[0] == "model" and header.endswith("p95 ms, 2 threads")
    assert " ".join(made.split()) == "BERT matthews 50.00 matthews 49.99 61 2.0 90.5 30.00 31.50 15.08 16.00"
    assert " ".join(not_made.split()) == "BERT, int8 matthews 50.00 not made 50"
    assert empty == "" and problem == "BERT, int8: differs too much from Keras"


def test_csv_and_json_have_every_figure() -> None:
    from power_bert.export.proof_points import proof_csv, proof_json

    made, not_made = csv.DictReader(io.StringIO(proof_csv(points())))
    assert made["keras_matthews"] == "0.5" and made["litert_matthews"] == "0.4999" and made["bytes"] == "90500000"
    assert (made["p50_ms_1_threads"], made["p95_ms_2_threads"], made["problem"]) == ("30.0", "16.0", "")
    assert not_made["litert_matthews"] == not_made["p50_ms_1_threads"] == not_made["bytes"] == ""
    assert not_made["problem"] == "differs too much from Keras"
    first, second = json.loads(proof_json(points()))
    assert first["latencies"] == {"1": [30.0, 31.5], "2": [15.08, 16.0]} and second["file"] is None


@pytest.mark.slow
def test_from_data_to_files(
    tiny_data: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from power_bert.export import parity
    from power_bert.export.proof_points import prove

    # After one epoch from random weights every probability is near a half, which 8 bits can turn.
    monkeypatch.setattr(parity.Limits, "of", lambda form, least: parity.Limits(agreement=0.5, points_lost=None))
    settings = {
        "task": "cola",
        "data_dir": str(tiny_data / "CoLA"),
        "checkpoint_path": str(tiny_checkpoint),
        "epochs": 1,
        "max_length": 21,
        "seed": 0,
    }
    console = Console(file=io.StringIO(), width=300)
    points = prove(settings, [], tmp_path / "points", timed_runs=2, console=console)
    assert [point.name for point in points] == ["bert-tiny", "BERT", "BERT, int8"]
    for point in points:
        assert point.problem == "" and point.file is not None and point.file_bytes == Path(point.file).stat().st_size
        assert point.litert_scores is not None
        assert sorted(point.latencies) == [1, 2] and point.build_seconds > 0
    for point in points[:2]:  # in float32
        assert point.litert_scores == pytest.approx(point.keras_scores, abs=1e-6)
    names = {path.name for path in (tmp_path / "points").iterdir()}
    assert {"bert", "bert-tiny", "teacher_logits", "proof_points.txt", "proof_points.csv", "proof_points.json"} <= names

    again = Console(file=io.StringIO(), width=300)
    prove(settings, [], tmp_path / "points", timed_runs=2, console=again)
    assert "epoch 1/1  loss" not in again.file.getvalue()  # type: ignore[attr-defined]
