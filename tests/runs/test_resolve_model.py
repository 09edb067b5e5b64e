"""Tests of power_bert.runs.resolve_model and of the paths of a run that was moved, on folders without weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.distillation import resolve_distillation
from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.runs.resolve_model import StoredPhase, find_run, find_stored_phase, resolve_model
from power_bert.runs.run_dir import DISTILL, RunDir, write_run_json
from power_bert.runs.run_folder import differing_run_settings, read_settings


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDir]:
    """A run with these phases finished; arguments replace entries of its config.json."""

    def make(*phases: str, **changes: Any) -> RunDir:
        run = RunDir(tmp_path / "runs" / "one")
        settings = {"output_dir": str(run.path), "data_dir": str(tmp_path / "data"), "seed": 3}
        is_distilled = DISTILL in phases
        resolved = resolve_distillation({**settings, "task": "cola"}) if is_distilled else resolve_experiment(settings)
        write_run_json(run.config, json.loads(resolved.to_json()) | changes)
        for phase in phases:
            write_run_json(run.phase(phase).model / "config.json", {"config": {}})
            run.phase(phase).mark_done()
        return run

    return make


def named(target: str | Path, phase: str | None = None) -> Path:
    found = resolve_model(target, phase)
    assert isinstance(found, StoredPhase) and found == find_stored_phase(target, phase)
    return found.model


class TestTargets:
    def test_a_run(self, make_run: Callable[..., RunDir]) -> None:
        run = make_run("1_fine_tune", "2_search")
        assert named(run.path) == named(str(run.path)) == run.phase("1_fine_tune").model
        make_run("3_retrain", "baseline")
        assert named(run.path) == run.phase("3_retrain").model
        assert named(run.path, "baseline") == run.phase("baseline").model

    def test_a_distilled_run(self, make_run: Callable[..., RunDir]) -> None:
        run = make_run(DISTILL)
        assert named(run.path) == named(run.path, DISTILL) == run.phase(DISTILL).model

    def test_the_folder_of_a_phase(
        self, make_run: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run("1_fine_tune", "2_search", "3_retrain")
        folder = run.phase("1_fine_tune").path
        assert named(folder) == named(folder, "1_fine_tune") == run.phase("1_fine_tune").model
        assert find_run(folder) == (run, "1_fine_tune")
        monkeypatch.chdir(folder)
        assert named(".") == run.phase("1_fine_tune").model
        with pytest.raises(UserError, match="the folder of 1_fine_tune, so it has no phase 3_retrain"):
            resolve_model(folder, "3_retrain")
        with pytest.raises(UserError, match="phase '2_search' is unknown"):
            resolve_model(run.phase("2_search").path)
        copied = shutil.copytree(folder, tmp_path / "copied")
        assert resolve_model(copied) == str(copied / "model")

    def test_anything_else_is_a_checkpoint(self, make_run: Callable[..., RunDir], tmp_path: Path) -> None:
        preset = str(make_run("3_retrain").phase("3_retrain").model)
        for target in (preset, "hf://owner/name@main", "bert_tiny_en_uncased", str(tmp_path / "bert_model.ckpt")):
            assert resolve_model(target) == target and find_run(target) is None
            with pytest.raises(UserError, match="no run there, so it has no phase 3_retrain; leave --phase out"):
                resolve_model(target, "3_retrain")

    def test_an_exported_file(self) -> None:
        with pytest.raises(UserError, match=r"model\.tflite: an exported file; .* are evaluate, predict, inspect"):
            resolve_model("model.tflite")

    def test_a_phase_that_is_not_done(self, make_run: Callable[..., RunDir]) -> None:
        run = make_run("1_fine_tune")
        with pytest.raises(UserError, match=r"3_retrain is not done; give the command of the run again .* --phase"):
            resolve_model(run.path, "3_retrain")
        (run.phase("1_fine_tune").path / "DONE").unlink()
        with pytest.raises(UserError, match="3_retrain or 1_fine_tune or baseline is not done"):
            find_stored_phase(run.path)

    @pytest.mark.parametrize("config", [None, '{"model_type": "bert"}'])
    def test_what_is_no_run(self, config: str | None, tmp_path: Path) -> None:
        if config:
            (tmp_path / "config.json").write_text(config, encoding="utf-8")
        with pytest.raises(
            UserError, match=r"config\.json: .* no run there; expected the OUTPUT_DIR of a finished run"
        ):
            find_stored_phase(tmp_path)


class TestPaths:
    def test_a_run_lies_where_it_is_found(self, make_run: Callable[..., RunDir], tmp_path: Path) -> None:
        run = make_run("1_fine_tune", output_dir="/old/place/run")
        assert read_settings(run).output_dir == str(run.path)
        assert read_settings(run).data_dir == str(tmp_path / "data"), "found in neither place: as it is stored"

    def test_data_that_were_moved_with_the_run(self, make_run: Callable[..., RunDir], tmp_path: Path) -> None:
        (tmp_path / "glue" / "CoLA").mkdir(parents=True)
        (tmp_path / "bert_model.ckpt.index").touch()
        old = {"data_dir": "/old/place/glue/CoLA", "checkpoint_path": "/old/place/bert_model.ckpt"}
        settings: Any = read_settings(make_run("1_fine_tune", output_dir="/old/place/runs/one", **old))
        assert settings.data_dir == str(tmp_path / "glue" / "CoLA")
        assert settings.checkpoint_path == str(tmp_path / "bert_model.ckpt")

    def test_teachers_that_were_moved_with_the_run(self, make_run: Callable[..., RunDir], tmp_path: Path) -> None:
        (tmp_path / "runs" / "teacher").mkdir(parents=True)
        teachers = ["/old/runs/teacher", "/old/runs/gone", "bert_tiny_en_uncased_sst2"]
        settings: Any = read_settings(make_run(DISTILL, output_dir="/old/runs/one", teachers=teachers))
        assert settings.teachers == (str(tmp_path / "runs" / "teacher"), *teachers[1:])

    def test_relative_paths_of_earlier_versions(
        self, make_run: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run("1_fine_tune", data_dir="data0", output_dir="one")
        monkeypatch.chdir(tmp_path)
        assert read_settings(run).data_dir == "data0"
        for place in (run.path / "data0", run.path.parent / "data0"):  # each is found before the one made earlier
            place.mkdir()
        assert read_settings(run).data_dir == str(run.path.parent / "data0")
        (run.path.parent / "data0").rmdir()
        assert read_settings(run).data_dir == str(run.path / "data0")
        Path("data0").mkdir()
        assert read_settings(run).data_dir == "data0"

    def test_a_given_folder_comes_first(self, make_run: Callable[..., RunDir], tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        run = make_run("3_retrain")
        for data_dir in ("elsewhere", "tfds:glue/cola"):
            stored = find_stored_phase(run.path, data_dir=data_dir)
            assert stored.experiment.data_dir == data_dir and read_settings(stored.run_dir).data_dir == data_dir
        assert find_stored_phase(run.path).experiment.data_dir == str(tmp_path / "data")

    def test_a_run_that_was_moved_with_its_data_goes_on(self, make_run: Callable[..., RunDir], tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        run = make_run("1_fine_tune", output_dir="/old/place/runs/one", data_dir="/old/place/data")
        present = {"output_dir": str(run.path), "data_dir": str(tmp_path / "data"), "seed": 3}
        assert differing_run_settings(run, resolve_experiment(present)) == {}
        assert list(differing_run_settings(run, resolve_experiment(present | {"seed": 4}))) == ["seed"]
