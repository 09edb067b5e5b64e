"""Tests of power_bert.glue.submit, on run folders without models."""

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.glue import submit as submit_module
from power_bert.glue.submission import find_submission_faults
from power_bert.glue.submit import submit
from power_bert.runs.run_dir import PHASES, RunDir, read_run_json, write_run_json
from power_bert.text.glue_tasks import TASKS

QUIET = Console(file=io.StringIO())


@pytest.fixture(autouse=True)
def small_qqp(monkeypatch: pytest.MonkeyPatch) -> None:
    """QQP with few test rows: its 390,965 take seconds."""
    monkeypatch.setitem(TASKS, "qqp", dataclasses.replace(TASKS["qqp"], rows={"test": 30}))


@pytest.fixture(autouse=True)
def predicted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Phases for which test predictions were asked; they are made up."""
    import power_bert.predict.predicting_test_sets
    from power_bert.runs.run_folder import missing_predictions

    phases: list[Path] = []

    def write(experiment: Any, phase_dir: Any, console: Any) -> None:
        phases.append(phase_dir.path)
        for path, (task, _) in missing_predictions(experiment, phase_dir).items():
            path.write_bytes(predictions(task.name, task.labels[-1]))

    monkeypatch.setattr(power_bert.predict.predicting_test_sets, "write_missing_predictions", write)
    yield phases


def predictions(task: str, label: str, rows: int | None = None) -> bytes:
    lines = [f"{row}\t{label}\n" for row in range(TASKS[task].test_rows if rows is None else rows)]
    return "".join(["index\tprediction\n", *lines]).encode()


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A finished run with these test predictions: file -> content."""

    def make(task: str, name: str = "", data_dir: str = "/nowhere", **files: bytes) -> Path:
        run_dir = RunDir(tmp_path / "runs" / (name or task))
        given = {"task": task, "data_dir": data_dir, "output_dir": str(run_dir.path)}
        run_dir.path.mkdir(parents=True)
        run_dir.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
        for phase in PHASES:
            run_dir.phase(phase).mark_done()
        for file, content in files.items():
            (run_dir.phase("3_retrain").path / f"{file}.tsv").write_bytes(content)
        return run_dir.path

    return make


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_runs_and_majority_classes(make_run: Callable[..., Path], tmp_path: Path) -> None:
    wnli = make_run("wnli", predictions_test=predictions("wnli", "1"))
    rte = make_run("rte", predictions_test=predictions("rte", "not_entailment"))
    submitted = submit([wnli, rte], tmp_path / "submission.zip", "3_retrain", QUIET)
    files = members(tmp_path / "submission.zip")
    assert files["WNLI.tsv"] == predictions("wnli", "1") and files["RTE.tsv"] == predictions("rte", "not_entailment")
    assert files["SST-2.tsv"] == predictions("sst-2", "1") and files["STS-B.tsv"] == predictions("sts-b", "2.701")
    assert files["MNLI-mm.tsv"] == predictions("mnli-mm", "entailment")
    lines = {entry.task.name: entry.line() for entry in submitted}
    assert list(lines) == list(TASKS) and len(files) == 11
    assert lines["wnli"].split() == ["WNLI.tsv", str(wnli / "3_retrain" / "predictions_test.tsv")]
    assert lines["cola"] == "CoLA.tsv    filled with 1 for all 1063 rows: no run predicts it"
    assert find_submission_faults(tmp_path / "submission.zip") == []


def test_an_mnli_run_serves_for_ax_and_the_other_half(make_run: Callable[..., Path], tmp_path: Path) -> None:
    others = {f"predictions_test_{name}": predictions(name, "neutral") for name in ("mnli-mm", "ax")}
    matched = make_run("mnli-m", predictions_test=predictions("mnli-m", "contradiction"), **others)
    submit([matched], tmp_path / "one.zip", "3_retrain", QUIET)
    files = members(tmp_path / "one.zip")
    assert files["MNLI-m.tsv"] == predictions("mnli-m", "contradiction")
    assert files["MNLI-mm.tsv"] == predictions("mnli-mm", "neutral") and files["AX.tsv"] == predictions("ax", "neutral")
    mismatched = make_run("mnli-mm", predictions_test=predictions("mnli-mm", "entailment"))
    submit([mismatched, matched], tmp_path / "two.zip", "3_retrain", QUIET)
    assert members(tmp_path / "two.zip")["MNLI-mm.tsv"] == predictions("mnli-mm", "entailment"), "its own run's"


def test_missing_predictions_are_made_where_the_data_are(
    make_run: Callable[..., Path], predicted: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "glue" / "WNLI").mkdir(parents=True)
    rows = "".join(f"{row}\ta\tb\n" for row in range(146))
    (tmp_path / "glue" / "WNLI" / "test.tsv").write_text("index\tsentence1\tsentence2\n" + rows, encoding="utf-8")
    wnli = make_run("wnli", data_dir=str(tmp_path / "glue"))
    submit([wnli], tmp_path / "submission.zip", "3_retrain", QUIET)
    assert predicted == [wnli / "3_retrain"]
    assert members(tmp_path / "submission.zip")["WNLI.tsv"] == predictions("wnli", "1")
    submit([wnli], tmp_path / "submission.zip", "3_retrain", QUIET)
    assert len(predicted) == 1, "what is there is not made again"


def test_data_that_lie_elsewhere_now(make_run: Callable[..., Path], predicted: list[Path], tmp_path: Path) -> None:
    (tmp_path / "WNLI").mkdir()
    (tmp_path / "WNLI" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n", encoding="utf-8")
    wnli, asked = make_run("wnli", data_dir="/nowhere"), []

    def find_data(run: Path) -> str:
        asked.append(run)
        return str(tmp_path)

    submit([wnli], tmp_path / "submission.zip", "3_retrain", QUIET, find_data)
    assert asked == [wnli] and predicted == [wnli / "3_retrain"]


def test_the_phase_can_be_chosen(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = RunDir(make_run("wnli", predictions_test=predictions("wnli", "1")))
    run.phase("1_fine_tune").predictions("test").write_bytes(predictions("wnli", "0"))
    submit([run.path], tmp_path / "submission.zip", "1_fine_tune", QUIET)
    assert members(tmp_path / "submission.zip")["WNLI.tsv"] == predictions("wnli", "0")


class TestRefused:
    @pytest.fixture(autouse=True)
    def writes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(submit_module, "write_submission", None)

    def fails(self, runs: list[Path], message: str, phase: str = "3_retrain") -> None:
        with pytest.raises(UserError, match=message):
            submit(runs, Path("submission.zip"), phase, QUIET)

    def test_two_runs_of_a_task(self, make_run: Callable[..., Path]) -> None:
        runs = [make_run("wnli", name, predictions_test=predictions("wnli", "1")) for name in ("first", "second")]
        self.fails(runs, r"second and .*first are both runs of wnli; give one of them")

    def test_an_unfinished_run(self, make_run: Callable[..., Path]) -> None:
        run = make_run("wnli")
        (run / "3_retrain" / "DONE").unlink()
        self.fails([run], r"3_retrain is not done; give the command of the run again .* or choose another --phase")

    @pytest.mark.parametrize("phase", ["2_search", "retrain"])
    def test_a_phase_that_predicts_nothing(self, phase: str, make_run: Callable[..., Path]) -> None:
        self.fails([make_run("wnli")], f"{phase} is unknown: expected one of 1_fine_tune, 3_retrain", phase)

    def test_other_data_than_those_of_glue(self, make_run: Callable[..., Path]) -> None:
        run = make_run("wnli", predictions_test=predictions("wnli", "1", rows=9))
        self.fails([run], r"not those of GLUE's official test set:\n.*predictions_test\.tsv: 9 rows; expected 146")

    def test_labels_of_another_task(self, make_run: Callable[..., Path]) -> None:
        run = make_run("wnli", predictions_test=predictions("wnli", "entailment"))
        self.fails([run], r"predictions_test\.tsv, line 2: prediction 'entailment': expected one of 0, 1")

    def test_no_predictions_and_no_data(self, make_run: Callable[..., Path]) -> None:
        self.fails([make_run("wnli")], r"no such file, and no test data in /nowhere .*or leave the run out: wnli")

    def test_what_is_no_run(self, tmp_path: Path) -> None:
        self.fails([tmp_path], "no run there")

    def test_a_task_outside_glue(self, make_run: Callable[..., Path]) -> None:
        run = RunDir(make_run("wnli"))
        custom = {"task": "custom", "text_columns": ["text"], "label_column": "y", "labels": ["a", "b"]}
        write_run_json(run.config, read_run_json(run.config) | custom | {"metric": "accuracy"})
        self.fails([run.path], "a run of custom, which is no task of GLUE; leave it out")
