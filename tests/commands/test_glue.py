"""Tests of power_bert.commands.glue: what a user types and sees."""

import dataclasses
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from power_bert import cli
from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.glue import run_all as glue
from power_bert.glue.submission import majority_predictions
from power_bert.runs.run_dir import PHASES, RunDir, write_run_json
from power_bert.text.glue_tasks import TASKS
from power_bert.train.without_elimination import SCORES


def call(*arguments: object) -> tuple[int, str]:
    """Exit status and output; a UserError is passed on."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    return result.exit_code, result.output


def finish_run(folder: Path, task: str) -> None:
    """A run folder as a finished run leaves it, without models."""
    run = RunDir(folder)
    run.path.mkdir(parents=True)
    given = {"task": task, "data_dir": "/nowhere", "output_dir": str(folder)}
    run.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
    for phase in PHASES:
        scores = dict.fromkeys(TASKS[task].metrics, 0.5)
        write_run_json(run.phase(phase).metrics, {"scores": scores, SCORES: scores})
        run.phase(phase).mark_done()
    write_run_json(run.phase("2_search").retention, {"retention": [0.5, 0.25]})
    run.phase("3_retrain").predictions("test").write_bytes(b"".join(majority_predictions(TASKS[task])))


@pytest.fixture(autouse=True)
def small_qqp(monkeypatch: pytest.MonkeyPatch) -> None:
    """QQP with few test rows: its 390,965 take seconds."""
    monkeypatch.setitem(TASKS, "qqp", dataclasses.replace(TASKS["qqp"], rows={"test": 30}))


def test_submit_and_verify(tmp_path: Path) -> None:
    for task in ("wnli", "rte"):
        finish_run(tmp_path / "runs" / task, task)
    status, output = call("submit", tmp_path / "runs", "--out", tmp_path / "submission.zip")
    assert status == 0 and output.splitlines()[-1] == f"wrote and verified {tmp_path / 'submission.zip'}"
    assert f"RTE.tsv     {tmp_path / 'runs' / 'rte' / '3_retrain' / 'predictions_test.tsv'}" in output
    assert "CoLA.tsv    filled with 1 for all 1063 rows" in output
    assert call("verify", tmp_path / "submission.zip") == (0, f"{tmp_path / 'submission.zip'}: no faults\n")


def test_verify_lists_faults(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("WNLI.tsv", "index\tprediction\r\n0\t1\r\n0\t1\r\n2\tyes\r\n")
    status, output = call("verify", tmp_path / "bad.zip")
    assert status == 1
    assert output.splitlines()[:2] == ["bad.zip: CoLA.tsv is missing", "bad.zip: SST-2.tsv is missing"]
    for fault in (
        "WNLI.tsv, line 3: index 0 once more, or out of order: expected 1",
        "WNLI.tsv, line 4: index 2 before 1: expected indices from 0 without gaps",
        "WNLI.tsv, line 4: prediction 'yes': expected one of 0, 1",
        "WNLI.tsv, line 1: ends with CR LF, and so do 3 more lines; expected LF alone",
        "WNLI.tsv: 3 rows; expected 146, as in the official test set",
        "bad.zip: 16 faults",
    ):
        assert fault in output


def test_a_submission_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.zip: no such file"):
        call("verify", tmp_path / "nothing.zip")


def test_glue_table(tmp_path: Path) -> None:
    finish_run(tmp_path / "wnli", "wnli")
    status, output = call("glue-table", tmp_path, "--out", tmp_path / "table")
    assert status == 0 and re.search(r"^wnli +accuracy +50\.00 +50\.00 +-$", output, re.MULTILINE)
    assert {path.name for path in (tmp_path / "table").iterdir()} == {
        f"glue_table.{end}" for end in ("txt", "csv", "png")
    }


@pytest.fixture
def made_up_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tasks that were run: WNLI succeeds, any other fails."""
    tasks: list[str] = []

    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        options: dict[str, Any] = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        tasks.append(options["--task"])
        if options["--task"] == "wnli":
            if not Path(options["--output-dir"]).exists():
                finish_run(Path(options["--output-dir"]), "wnli")
            return 0, ""
        return 2, "error: the data are bad\n"

    monkeypatch.setattr(glue, "run_as_process", run)
    return tasks


def test_glue(made_up_runs: list[str], tmp_path: Path) -> None:
    for folder in ("WNLI", "RTE"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "train.tsv").write_text("x\n", encoding="utf-8")
    status, output = call("glue", tmp_path / "data", "--out", tmp_path / "out")
    assert made_up_runs == ["rte", "wnli"] and status == 1
    assert "rte: failed: the data are bad" in output and "=== wnli, task 2 of 2" in output
    assert (tmp_path / "out" / "glue_table.png").exists() and (tmp_path / "out" / "rte.error.txt").exists()
    status, output = call("glue", tmp_path / "data", "--tasks", " wnli,", "--out", tmp_path / "out")
    assert status == 0 and "rte: no run" in output
