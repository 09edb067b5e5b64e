"""Tests of power_bert.glue.run_all; the runs themselves are made up, but for one real process."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from power_bert.child_processes import run_as_process
from power_bert.errors import UserError
from power_bert.glue.run_all import choose_tasks, run_glue
from power_bert.text.glue_tasks import TASKS

QUIET = Console(file=io.StringIO())
PROJECT_ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A GLUE folder with CoLA and RTE."""
    for folder in ("CoLA", "RTE"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "train.tsv").write_text("x\n", encoding="utf-8")
    return tmp_path / "data"


class TestChooseTasks:
    def test_what_is_there_in_the_order_of_the_table(self, data: Path) -> None:
        assert [task.name for task in choose_tasks(data, [])] == ["cola", "rte"]

    def test_what_is_named(self, data: Path) -> None:
        assert [task.name for task in choose_tasks(data, ["rte", "mrpc"])] == ["rte", "mrpc"]

    def test_bad_choices(self, data: Path, tmp_path: Path) -> None:
        for names, message in (
            (["colla"], "Unknown task 'colla'. Did you mean 'cola'"),
            (["ax"], r"ax has no training data; a run of its family \(mnli\) predicts it"),
        ):
            with pytest.raises(UserError, match=message):
                choose_tasks(data, names)
        with pytest.raises(UserError, match=r"data/CoLA: no GLUE task there; expected folders such as CoLA, MNLI"):
            choose_tasks(data / "CoLA", [])


class TestRunGlue:
    def run(
        self, data: Path, out: Path, outcomes: Mapping[str, tuple[int, str]]
    ) -> tuple[dict[str, str], list[Sequence[str]], list[Mapping[str, str]]]:
        asked: list[Sequence[str]] = []
        environments: list[Mapping[str, str]] = []

        def run_program(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
            asked.append(arguments)
            environments.append(environment)
            return outcomes[arguments[2]]

        errors = run_glue(data, [TASKS["cola"], TASKS["rte"]], out, QUIET, run_program)
        return errors, asked, environments

    def test_each_task_in_its_own_folder_with_the_settings_of_run_sh(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {"EPOCH": "7", "TASK": "mrpc", "OUTPUT_DIR": "elsewhere", "EVAL_ONLY": "1"}.items():
            monkeypatch.setenv(name, value)
        errors, asked, environments = self.run(data, tmp_path / "out", {"cola": (0, ""), "rte": (0, "a warning\n")})
        assert errors == {} and not list((tmp_path / "out").glob("*.error.txt"))
        assert asked == [
            ["run", "--task", task, "--data-dir", str(data / folder), "--output-dir", str(tmp_path / "out" / task)]
            for task, folder in (("cola", "CoLA"), ("rte", "RTE"))
        ]
        assert all(environment["EPOCH"] == "7" for environment in environments)
        assert not {"TASK", "DATA_DIR", "OUTPUT_DIR", "EVAL_ONLY", "PREDICT_ONLY"} & set(environments[0])

    def test_a_failing_task_does_not_stop_the_rest(self, data: Path, tmp_path: Path) -> None:
        error = "a warning\nerror: train.tsv, line 3: unknown label\nsecond line\n"
        errors, asked, _ = self.run(data, tmp_path, {"cola": (2, error), "rte": (0, "")})
        assert len(asked) == 2
        assert errors == {"cola": "train.tsv, line 3: unknown label\nsecond line"}
        assert (tmp_path / "cola.error.txt").read_text(encoding="utf-8") == errors["cola"] + "\n"
        self.run(data, tmp_path, {"cola": (0, ""), "rte": (0, "")})
        assert not (tmp_path / "cola.error.txt").exists(), "it has been mended"

    @pytest.mark.parametrize(
        ("outcome", "expected"),
        [
            ((-9, ""), "ended by SIGKILL, probably for lack of memory; see the log of the run"),
            ((1, "Traceback\nValueError: x\n"), "Traceback\nValueError: x"),
            ((3, ""), "ended with status 3; see the log of the run"),
        ],
    )
    def test_errors_without_a_message(
        self, outcome: tuple[int, str], expected: str, data: Path, tmp_path: Path
    ) -> None:
        assert self.run(data, tmp_path, {"cola": outcome, "rte": (0, "")})[0] == {"cola": expected}


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "code"), "PYTHONUTF8": "1"}


def test_a_process_of_its_own(environment: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    status, error = run_as_process(["run", "--task", "colla"], environment)
    assert status == 2 and error.startswith("error: Unknown task 'colla'.")
    assert capfd.readouterr().err == error, "the user sees it at once, too"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: elsewhere the run would go on alone")
def test_a_killed_glue_leaves_no_run_behind(environment: dict[str, str], tmp_path: Path) -> None:
    script = (
        "import os, sys; from power_bert import child_processes;"
        "sys.executable = sys.argv[1]; child_processes.run_as_process([sys.argv[2]], os.environ)"
    )
    # In place of this program: a shell script that says who it is and waits.
    (tmp_path / "program").write_text(
        '#!/bin/sh\nfor file; do :; done\necho $$ > "$file.new"; mv "$file.new" "$file"; exec sleep 600\n'
    )
    (tmp_path / "program").chmod(0o755)
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path / "program", pid_file], env=environment)
    wait_until(pid_file.exists)
    child = int(pid_file.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_running(child))


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether a process is there and not merely a zombie whose parent has not asked for it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
