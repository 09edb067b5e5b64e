"""Tests of power_bert.reports.verification: everything in a folder is compared with what was written there."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from power_bert.cli import app
from power_bert.config.experiment import resolve_experiment
from power_bert.distill.cached_logits import CachedLogits
from power_bert.errors import UserError
from power_bert.reports.verification import verify_folder
from power_bert.runs.run_dir import RunDir, write_run_json
from power_bert.storage.folder_manifest import write_manifest
from power_bert.text.predictions import write_predictions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of one phase, a model of another program with a manifest, and logits."""
    settings = {"task": "cola", "data_dir": "data", "checkpoint_path": "model", "output_dir": str(tmp_path / "run")}
    experiment, run = resolve_experiment(settings), RunDir(tmp_path / "run")
    phase = run.phase("1_fine_tune")
    phase.model.mkdir(parents=True)
    run.config.write_text(experiment.to_json(), encoding="utf-8")
    write_run_json(phase.metrics, {"scores": {"matthews": 0.5}})
    write_predictions(phase.predictions("dev"), experiment.task_definition, np.array([0, 1, 1]))
    (phase.model / "config.json").write_text("{}", encoding="utf-8")
    (phase.model / "model.weights.h5").write_bytes(bytes(2 << 20))
    write_manifest(phase.model)
    phase.mark_done()
    expected = {"teacher_sha256": "a", "texts_sha256": "b", "examples": 3, "outputs": 2, "shard_rows": 2}
    cached = CachedLogits(tmp_path / "logits", expected, "teacher")
    for number in cached.numbers:
        cached.write(number, np.ones((len(cached.rows(number)), 2), np.float32))
    return tmp_path


def test_what_is_checked(folder: Path) -> None:
    told: list[str] = []
    assert verify_folder(folder, told.append) == []
    assert told == [
        f"checking {folder / 'logits'}: cached logits",
        f"checking {folder / 'run'}: run",
        f"checking {folder / 'run' / '1_fine_tune' / 'model'}: files",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run/config.json", r"config\.json"),
        ("run/1_fine_tune/metrics.json", r"metrics\.json, line 1: not valid JSON"),
        ("run/1_fine_tune/predictions_dev.tsv", r"predictions_dev\.tsv, line 1: expected"),
        ("run/1_fine_tune/model/model.weights.h5", r"model\.weights\.h5: altered since it was written"),
        ("logits/00001.npy", r"00001\.npy: damaged"),
    ],
)
def test_each_damage_is_found(name: str, message: str, folder: Path) -> None:
    with (folder / name).open("r+b") as file:
        file.write(b"x")
    (fault,) = verify_folder(folder, lambda line: None)
    assert re.search(message, fault)


def test_all_faults_are_listed(folder: Path) -> None:
    model = folder / "run" / "1_fine_tune" / "model"
    (model / "config.json").unlink()
    (model / "model.weights.h5").write_bytes(b"")
    assert len(verify_folder(model, lambda line: None)) == 2


def test_a_folder_with_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to verify"):
        verify_folder(tmp_path, lambda line: None)


def test_the_command(folder: Path) -> None:
    ended = CliRunner().invoke(app, ["verify", str(folder)])
    assert (ended.exit_code, ended.output.splitlines()[-1]) == (0, f"{folder}: no faults")
    (folder / "logits" / "00000.npy").write_bytes(b"")
    ended = CliRunner().invoke(app, ["verify", str(folder)])
    assert (ended.exit_code, ended.output.splitlines()[-1]) == (1, f"{folder}: 1 fault")
