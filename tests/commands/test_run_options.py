"""Which task and data a command takes for a run: options, then the environment where it fits, else the run's own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from power_bert.commands.run_options import task_and_data_for
from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.runs.run_dir import PHASES, RunDir
from power_bert.text.glue_tasks import get_task

MakeRun = Callable[..., str]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASK", "DATA_DIR", "TEXT_COLUMNS", "LABEL_COLUMN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes the folder of a run of a task, with its settings alone."""

    def make(task: str, **settings: Any) -> str:
        run = RunDir(tmp_path / f"run of {task}")
        given = {"task": task, "data_dir": "/data/of/the/run", "output_dir": str(run.path), **settings}
        run.phase(PHASES[0]).path.mkdir(parents=True)
        run.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
        return str(run.path)

    return make


@pytest.fixture
def table(tmp_path: Path) -> str:
    rows = "".join(f"{number},the printer of room {number} is broken,{'ab'[number % 2]}\n" for number in range(40))
    (tmp_path / "tickets.csv").write_text("id,body,queue\n" + rows)
    return str(tmp_path / "tickets.csv")


def test_nothing_is_asked_for(make_run: MakeRun) -> None:
    assert task_and_data_for(make_run("mrpc"), None, None) == (None, None)
    assert task_and_data_for("hf://owner/name", None, None) == (None, None)


def test_options(make_run: MakeRun) -> None:
    run = make_run("mnli-m")
    assert task_and_data_for(run, None, "/other") == (None, "/other")
    assert task_and_data_for(run, "mnli-mm", None) == (get_task("mnli-mm"), None)
    assert task_and_data_for(run, "ax", "/other") == (get_task("ax"), "/other")
    assert task_and_data_for(run, None, "tfds:glue/mnli") == (None, "tfds:glue/mnli")
    with pytest.raises(UserError, match=r"Unknown task 'mnli'"):
        task_and_data_for(run, "mnli", None)


def test_a_relative_folder_becomes_absolute(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert task_and_data_for(make_run("mrpc"), None, "data")[1] == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("task", "variable", "expected"),
    [
        ("mrpc", "mrpc", (None, "/env")),
        ("mrpc", "", (None, "/env")),
        ("mnli-m", "mnli-mm", (get_task("mnli-mm"), "/env")),  # of one family
        ("mrpc", "cola", (None, None)),
        ("mrpc", "nonsense", (None, None)),
    ],
)
def test_data_of_the_environment_are_for_the_task_of_the_environment(
    task: str,
    variable: str,
    expected: tuple[Any, Any],
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TASK", variable)
    monkeypatch.setenv("DATA_DIR", "/env")
    run = make_run(task)
    assert task_and_data_for(run, None, None) == expected
    note = capsys.readouterr().err
    if expected == (None, None):
        assert note.startswith(f"note: {run} is a run of mrpc, so DATA_DIR of the environment (for TASK={variable}) is")
        assert "Set TASK=mrpc as well, or give --data-dir" in note
    else:
        assert note == ""


def test_an_option_is_taken_whatever_the_environment_says(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASK", "cola")
    monkeypatch.setenv("DATA_DIR", "/env")
    assert task_and_data_for(make_run("mrpc"), None, "/other") == (None, "/other")
    assert capsys.readouterr().err == ""


def test_a_task_of_the_environment_needs_data(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK", "cola")
    assert task_and_data_for(make_run("mrpc"), None, None) == (None, None)
    assert task_and_data_for("hf://owner/name", None, None) == (None, None)
    monkeypatch.setenv("DATA_DIR", "/env")
    assert task_and_data_for("hf://owner/name", None, None) == (get_task("cola"), "/env")


def test_an_exported_file_names_its_task_itself(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert task_and_data_for("model.onnx", None, table) == (None, table)
    monkeypatch.setenv("TASK", "cola")
    monkeypatch.setenv("DATA_DIR", "relative")
    assert task_and_data_for("model.tflite", None, None) == (None, os.path.abspath("relative"))


class TestOwnData:
    def test_a_table_makes_a_task_for_a_checkpoint(self, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
        task, data = task_and_data_for("hf://owner/name", None, table)
        assert task is not None and data == table
        assert (task.name, task.labels, task.train_layout.text_columns) == ("custom", ("a", "b"), ("body",))
        monkeypatch.setenv("TEXT_COLUMNS", "id")
        monkeypatch.setenv("LABEL_COLUMN", "queue")
        chosen, _ = task_and_data_for("hf://owner/name", "custom", table)
        assert chosen is not None and chosen.train_layout.text_columns == ("id",)

    def test_a_run_keeps_its_own_task(self, table: str, make_run: MakeRun) -> None:
        columns = {"text_columns": "body", "label_column": "queue", "labels": "b,a"}
        assert task_and_data_for(make_run("custom", **columns), None, table) == (None, table)

    def test_a_table_of_the_environment_is_not_for_a_run_of_another_task(
        self, table: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TASK", "mrpc")
        monkeypatch.setenv("DATA_DIR", table)
        assert task_and_data_for(make_run("mrpc"), None, None) == (None, None)
        assert "(for TASK=custom) is not used" in capsys.readouterr().err


def test_a_damaged_run_is_named(make_run: MakeRun) -> None:
    run = make_run("mrpc")
    RunDir(Path(run)).config.write_text('{"task": "mrpc", "output_dir": "x", "epochs": "3"}')
    with pytest.raises(UserError, match=r"config\.json: settings are missing: data_dir"):
        task_and_data_for(run, None, "/other")
