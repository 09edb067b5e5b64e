"""Tests of power_bert.runs.run_dir."""

from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.runs.run_dir import PHASES, PhaseDir, RunDir, read_run_json, write_run_json


def test_paths(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    paths = (run.config, run.environment, run.log, run.metrics_csv, run.tensorboard, run.timings, run.summary)
    names = ["config.json", "environment.json", "log.txt", "metrics.csv", "tensorboard", "timings.json", "summary.txt"]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == names
    phase = run.phase("2_search")
    paths = (phase.model, phase.training_state, phase.metrics, phase.retention, phase.predictions("test"))
    assert [path.relative_to(tmp_path / "2_search").as_posix() for path in paths] == [
        *("model", "training_state.npz", "metrics.json", "retention.json", "predictions_test.tsv")
    ]
    assert list(tmp_path.iterdir()) == [], "asking for a path makes nothing"


def test_phases_sort_in_their_order() -> None:
    assert sorted(PHASES) == list(PHASES) == ["1_fine_tune", "2_search", "3_retrain"]


def test_done_marker(tmp_path: Path) -> None:
    phase = PhaseDir(tmp_path / "1_fine_tune")
    assert not phase.is_done
    phase.mark_done()
    assert phase.is_done and (phase.path / "DONE").read_text() == ""
    assert PhaseDir(phase.path).is_done


def test_a_model_that_was_deleted(tmp_path: Path) -> None:
    phase = PhaseDir(tmp_path / "2_search")
    with pytest.raises(UserError, match=r"2_search/model: no model there; delete .*/2_search to have"):
        phase.existing_model()
    write_run_json(phase.model / "config.json", {})
    assert phase.existing_model() == phase.model


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"é": [1, 2.5, None, True], "nested": {"empty": []}}
    write_run_json(tmp_path / "folder" / "file.json", value)
    assert read_run_json(tmp_path / "folder" / "file.json") == value
    assert (tmp_path / "folder" / "file.json").read_bytes().endswith(b"}\n")


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    write_run_json(tmp_path / "metrics.json", {"scores": {"spearman": float("nan")}, "all": [(1.5, float("inf"))]})
    assert (tmp_path / "metrics.json").read_text(encoding="utf-8").count("null") == 2
    assert read_run_json(tmp_path / "metrics.json") == {"scores": {"spearman": None}, "all": [[1.5, None]]}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.json: no such file; is this the folder of a finished run\?"):
        read_run_json(tmp_path / "metrics.json")


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b"\xff\xfe", b"\0\0"])
def test_a_damaged_file_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes(data)
    with pytest.raises(UserError, match=r"metrics\.json.*: not valid JSON .*; delete its folder"):
        read_run_json(tmp_path / "metrics.json")
