"""A finished run whose folder was moved, alone or with its data, and one that an earlier version has written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from power_bert import cli
from power_bert.model.pretrained import load_pretrained
from power_bert.runs.run_dir import read_run_json, write_run_json
from power_bert.runs.trained_model import load_trained_model

# Written by commit 2de058d; what commands do not read is left out, and so are the models of phases 1 and 2.
EARLIER = Path(__file__).parent / "run_of_2de058d"
ONE = pytest.mark.parametrize("moved", ["2de058d"], indirect=True)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASK", "DATA_DIR", "THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["now", "2de058d"])
def moved(request: pytest.FixtureRequest, cola_run: Any, tmp_path: Path) -> Path:
    """The folder of a run on another machine, with its data beside it in glue/CoLA."""
    run = tmp_path / "new" / "run"
    if request.param == "now":
        shutil.copytree(cola_run.folder, run)
        shutil.copytree(Path(cola_run.experiment.data_dir) / "CoLA", run.parent / "glue" / "CoLA")
        old = {"data_dir": "/old/place/glue/CoLA", "output_dir": "/old/place/run"}
        shutil.copy(EARLIER / "run" / "timings.json", run)
        write_run_json(run / "config.json", read_run_json(run / "config.json") | old)
    else:
        shutil.copytree(EARLIER, run.parent)
    return run


@pytest.fixture
def call(moved: Path) -> Callable[..., Result]:
    def run(*arguments: object, **settings: str) -> Result:
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env=settings, input="the cat.\n")

    return run


def test_moved_with_its_data(moved: Path, call: Callable[..., Result], tmp_path: Path) -> None:
    data = moved.parent / "glue" / "CoLA"
    assert f"data       cola dev, 12 examples from {data}\n" in call("evaluate", moved).stdout
    header = call("predict", moved).stdout.partition("\n")[0]  # earlier versions stored the labels of the data
    assert header in ("label\tp(unacceptable)\tp(acceptable)", "label\tp(0)\tp(1)")
    expected = (moved / "3_retrain" / "predictions_test.tsv").read_text(encoding="utf-8")
    assert call("predict", moved / "3_retrain", "--split", "test").stdout == expected
    assert "label agreement" in call("export", moved, "--out", tmp_path / "model.tflite").stdout.lower()
    for command in (("benchmark", "--no-peers"), ("summary",)):
        ended = call(*command, moved)
        assert ended.exit_code == 0 and f"Run {moved}" in ended.stdout and "not compared" not in ended.stdout


@ONE
def test_moved_without_its_data(moved: Path, call: Callable[..., Result], tmp_path: Path) -> None:
    data = (moved.parent / "glue" / "CoLA").rename(tmp_path / "data")
    assert call("predict", moved).exit_code == 0
    said = " ".join(call("summary", moved).stdout.split())
    assert "not compared with its references: /old/place/glue/CoLA: no such folder" in said
    commands = {
        "evaluate": ("evaluate", moved),
        "predict": ("predict", moved, "--split", "test"),
        "export": ("export", moved, "--out", tmp_path / "model.tflite"),
        "benchmark": ("benchmark", moved),
    }
    for command in commands.values():
        ended = call(*command)
        assert "/old/place/glue/CoLA: no such folder" in str(ended.exception) and "--data-dir" in str(ended.exception)
    for command in ("evaluate", "predict"):
        assert call(*commands[command], "--data-dir", data).exit_code == 0
    # run.sh always sets TASK, and an empty DATA_DIR.
    assert call("summary", moved, TASK="cola", DATA_DIR=str(data)).exit_code == 0
    assert f"examples from {data}" in call("evaluate", moved, TASK="cola", DATA_DIR=str(data)).stdout
    ended = call("evaluate", moved, TASK="mrpc", DATA_DIR=str(data))
    assert "no such folder" in str(ended.exception)
    assert "is a run of cola, so DATA_DIR of the environment (for TASK=mrpc) is not used" in ended.stderr
    assert call("predict", moved, TASK="mrpc", DATA_DIR="/nowhere").exit_code == 0


@ONE
def test_a_checkpoint_takes_task_and_data_together(moved: Path, call: Callable[..., Result]) -> None:
    preset, data = moved / "3_retrain" / "model", moved.parent / "glue" / "CoLA"
    assert "give --task" in str(call("evaluate", preset, TASK="cola", DATA_DIR="").exception)
    for settings in ({"TASK": "cola", "DATA_DIR": str(data)}, {"DATA_DIR": str(data), "TASK": "custom"}):
        ended = call("evaluate", preset, **settings)
        assert ended.exit_code == 0 if settings["TASK"] == "cola" else "Set TEXT_COLUMNS" in str(ended.exception)
    assert call("evaluate", preset, "--task", "cola", "--data-dir", data, TASK="mrpc").exit_code == 0


def test_what_an_earlier_version_has_written_still_loads() -> None:
    run = load_trained_model(str(EARLIER / "run"))
    preset = load_trained_model(str(EARLIER / "run" / "3_retrain" / "model"))
    retention = json.loads((EARLIER / "run" / "2_search" / "retention.json").read_bytes())["retention"]
    assert [model.classifier.backbone.retention.to_json() for model in (run, preset)] == [retention, retention]
    assert run.data_dir == str(EARLIER / "glue" / "CoLA") and run.max_length == preset.max_length == 24
    assert load_pretrained(str(EARLIER / "checkpoint")).backbone.num_layers == 2
