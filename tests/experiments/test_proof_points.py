"""Proof points: what the tables say, and the whole road on a tiny checkpoint."""

import csv
import io
import json
from pathlib import Path

import pytest


def points() -> list:
    from power_bert.experiments.proof_points import ProofPoint

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
    from power_bert.experiments.proof_points import proof_text

    lines = [" ".join(line.split()) for line in proof_text(points()).splitlines()]
    assert lines == [
        "model dev, Keras dev, LiteRT build s evaluation s MB",
        "BERT matthews 50.00 matthews 49.99 61 2.0 90.5",
        "BERT, int8 matthews 50.00 not made 50",
        "",
        "model p50 / p95 ms, 1 thread p50 / p95 ms, 2 threads",
        "BERT 30.00 / 31.50 15.08 / 16.00",
        "BERT, int8",
        "",
        "BERT, int8: differs too much from Keras",
    ]


def test_csv_and_json_have_every_figure() -> None:
    from power_bert.experiments.proof_points import proof_frame, proof_json
    from power_bert.result_tables import csv_text

    made, not_made = csv.DictReader(io.StringIO(csv_text(proof_frame(points()))))
    assert made["keras_matthews"] == "0.5" and made["litert_matthews"] == "0.4999" and made["bytes"] == "90500000"
    assert (made["p50_ms_1_threads"], made["p95_ms_2_threads"], made["problem"]) == ("30.0", "16.0", "")
    assert not_made["litert_matthews"] == not_made["p50_ms_1_threads"] == not_made["bytes"] == ""
    assert not_made["problem"] == "differs too much from Keras"
    first, second = json.loads(proof_json(points()))
    assert first["latencies"] == {"1": [30.0, 31.5], "2": [15.08, 16.0]} and second["file"] is None


@pytest.mark.slow
def test_from_data_to_files(
    exportable_data: Path, exportable_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from power_bert.experiments.proof_points import prove
    from power_bert.export import parity

    # After one epoch from random weights every probability is near a half, which 8 bits can turn.
    monkeypatch.setattr(parity.Limits, "of", lambda *_: parity.Limits(agreement=0.5, points_lost=None))
    settings = {
        "task": "cola",
        "data_dir": str(exportable_data / "CoLA"),
        "checkpoint_path": str(exportable_checkpoint),
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


def test_the_tiny_student_has_the_data_and_the_tokenizer_of_its_teacher() -> None:
    from power_bert.config.distillation import resolve_distillation
    from power_bert.config.experiment import resolve_experiment
    from power_bert.experiments.proof_points import _tiny_settings

    given = {"task": "mrpc", "data_dir": "/d", "max_length": 33, "seed": 4, "checkpoint_path": "hf://owner/name"}
    teacher = resolve_experiment({**given, "output_dir": "/out/bert"})
    student = resolve_distillation(_tiny_settings(teacher, Path("/out")))
    assert (student.task, student.data_dir, student.max_length, student.seed) == ("mrpc", "/d", 33, 4)
    assert (student.student, student.teachers, student.start) == ("bert-tiny", ("/out/bert",), "random")
    assert (student.vocabulary, student.output_dir) == ("hf://owner/name", "/out/bert-tiny")


def test_building_takes_all_phases_up_to_the_model(tmp_path: Path) -> None:
    from power_bert.config.experiment import resolve_experiment
    from power_bert.experiments.proof_points import _training_seconds
    from power_bert.runs.resolve_model import StoredPhase
    from power_bert.runs.run_dir import PHASES, RunDir, write_run_json

    run_dir = RunDir(tmp_path)
    for phase, seconds in zip(PHASES, (5.0, 20.0, 7.5), strict=True):
        write_run_json(run_dir.phase(phase).metrics, {"scores": {}, "seconds": seconds})
        run_dir.phase(phase).mark_done()
    experiment = resolve_experiment({"task": "mrpc", "data_dir": "/d"})
    taken = [_training_seconds(StoredPhase(run_dir, experiment, run_dir.phase(phase))) for phase in PHASES]
    assert taken == [5.0, 25.0, 32.5]


def test_notes_stand_below_the_table() -> None:
    from power_bert.experiments.proof_points import proof_text

    *_, empty, problem, note = proof_text(points(), ["a note"]).splitlines()
    assert (empty, problem, note) == ("", "BERT, int8: differs too much from Keras", "a note")
    assert not proof_text(points()[:1]).endswith("\n\n"), "nothing to say, no empty line"
