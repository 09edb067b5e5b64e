"""Tests of power_bert.glue.glue_results and glue_table, on run folders without models."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.glue.glue_results import average, complete_results, find_runs, glue_folder_results, read_result
from power_bert.glue.glue_table import glue_csv, glue_text, write_glue_table
from power_bert.result_tables import WIDTH
from power_bert.runs.run_dir import BASELINE, RunDir, write_run_json
from power_bert.train.without_elimination import SCORES

Scores = dict[str, float | None]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A finished run with these scores, in which elimination wins 2.5, 2 and 4 times."""

    def make(
        task: str, before: Scores | None, after: Scores, name: str = "", longer: Scores | None = None, **settings: Any
    ) -> Path:
        run = RunDir(tmp_path / (name or task))
        run.path.mkdir(parents=True)
        given = {"task": task, "data_dir": "/data", "output_dir": str(run.path)} | settings
        run.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
        phases = {"1_fine_tune": before or after, "2_search": after, "3_retrain": after, BASELINE: longer}
        for phase, scores in phases.items():
            if scores is None or (phase == "2_search" and settings):
                continue
            full = {SCORES: before} if phase == "3_retrain" and before else {}
            write_run_json(run.phase(phase).metrics, {"scores": scores, **full})
            run.phase(phase).mark_done()
        write_run_json(run.phase("3_retrain" if settings else "2_search").retention, {"retention": [0.9, 0.25]})
        seconds = {"fixed_padding": 0.04, "bucketed": 0.02, "bucketed_eliminated": 0.01}
        timings = {way: {"seconds_per_example": value} for way, value in seconds.items()}
        write_run_json(run.timings, {"flops_speedup": 2.5, "timings": timings})
        return run.path

    return make


@pytest.fixture
def folder(make_run: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with runs of CoLA, MRPC, both halves of MNLI, and an STS-B whose predictions are constant."""
    make_run("cola", {"matthews": 0.5}, {"matthews": 0.46}, longer={"matthews": 0.51})
    make_run("mrpc", {"f1": 0.9, "accuracy": 0.8}, {"f1": 0.88, "accuracy": 0.78})
    make_run("mnli-m", {"accuracy": 0.7}, {"accuracy": 0.6})
    make_run("mnli-mm", {"accuracy": 0.8}, {"accuracy": 0.7})
    make_run("sts-b", {"spearman": 0.8, "pearson": 0.82}, {"spearman": None, "pearson": None})
    return tmp_path


def results(folder: Path, errors: dict[str, str] | None = None) -> Any:
    return complete_results(glue_folder_results(folder, errors or {}))


def test_average_is_glues(folder: Path) -> None:
    mean = average(results(folder))
    assert mean.full == pytest.approx((0.5 + 0.85 + 0.75) / 3), "MRPC: both metrics; MNLI: both halves, one task"
    assert mean.eliminated == pytest.approx((0.46 + 0.83 + 0.65) / 3)
    assert mean.baseline is None, "only CoLA has one"
    assert mean.num_tasks == 3 and mean.missing == ("sst-2", "sts-b", "qqp", "qnli", "rte", "wnli")


def test_average_of_nothing(tmp_path: Path) -> None:
    mean = average(results(tmp_path))
    assert (mean.full, mean.eliminated, mean.baseline, mean.num_tasks) == (None, None, None, 0)
    assert "average  0 tasks" in glue_text(results(tmp_path))


def test_text(folder: Path, make_run: Callable[..., Path]) -> None:
    (folder / "mnli-m" / "3_retrain" / "DONE").unlink()
    lines = glue_text(results(folder, {"qnli": "train.tsv: no such file"})).splitlines()
    assert lines[2].split() == ["task", "metrics", "nothing", "eliminated", "eliminated"]
    assert lines[8] == "" and lines[9].split()[:4] == ["task", "as", "many", "epochs"], "a second table below"
    tables = zip(lines[3:8], lines[10:15], lines[17:22], strict=True)
    rows = [first.split() + second.split()[1:] + third.split()[1:] for first, second, third in tables]
    assert rows[0] == ["cola", "matthews", "50.00", "46.00", "51.00", "2.50", "×", "2.0", "×", "4.0", "×", "0.9,0.25"]
    assert rows[1][:7] == ["mrpc", "f1,", "accuracy", "90.00", "/", "80.00", "88.00"]
    assert rows[2][6:10] == ["undefined", "/", "undefined", "-"]
    assert rows[4] == ["average", "3", "tasks", "71.67", "66.33", "-"]
    assert lines[22] == "" and lines[23].startswith("nothing eliminated: the weights of the eliminated model")
    assert "Not in the average: sst-2, sts-b, qqp, mnli-m, qnli, rte, wnli" in lines
    assert max(map(len, lines)) <= WIDTH
    assert "  mnli-m: not finished: 3_retrain is not done" in lines
    assert "  qnli: failed: train.tsv: no such file" in lines and "  rte: no run" in lines


def test_csv(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(glue_csv(results(folder)))))
    by_metric = {(row["task"], row["metric"]): row for row in rows}
    cola = by_metric["cola", "matthews"]
    names = ("nothing_eliminated", "eliminated", "as_many_epochs", "after_phase_1")
    assert [cola[name] for name in names] == ["0.5", "0.46", "0.51", "0.5"]
    assert by_metric["mrpc", "f1"]["as_many_epochs"] == ""
    figures = [float(cola[name]) for name in ("flops_ratio", "faster_bucketed", "faster_padded")]
    assert figures == [2.5, 2.0, 4.0] and cola["retention"] == "0.9,0.25" and cola["run"] == str(folder / "cola")
    assert by_metric["sts-b", "pearson"]["eliminated"] == "", "undefined"
    assert by_metric["rte", "accuracy"]["problem"] == "no run"
    assert rows[-1]["task"] == "average" and float(rows[-1]["nothing_eliminated"]) == pytest.approx(0.7)
    assert rows[-1]["problem"].startswith("without sst-2, sts-b")


def test_files(folder: Path, tmp_path: Path) -> None:
    paths = write_glue_table(tmp_path / "out", results(folder))
    assert [path.name for path in paths] == ["glue_table.txt", "glue_table.csv", "glue_table.png"]
    assert paths[0].read_text(encoding="utf-8") == glue_text(results(folder))
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    write_glue_table(tmp_path / "empty", [])


def test_a_run_with_a_given_retention_and_no_timings(make_run: Callable[..., Path]) -> None:
    run = make_run("cola", {"matthews": 0.5}, {"matthews": 0.4}, retention_config="0.9,0.25", fuse=True)
    (run / "timings.json").unlink()
    assert read_result(run).problem == "" and read_result(run).retention == "0.9,0.25, dropped tokens fused"
    assert "not measured" in glue_text([read_result(run)])


def test_a_run_of_an_earlier_version_has_no_score_to_compare_with(make_run: Callable[..., Path]) -> None:
    result = read_result(make_run("cola", None, {"matthews": 0.4}))
    assert (result.full, result.fine_tuned) == ({}, {"matthews": 0.4}) and average([result]).missing == ("cola",)
    assert glue_text([result]).splitlines()[3].split()[:4] == ["cola", "matthews", "-", "40.00"]


def test_data_with_other_rows_than_glues_are_named(make_run: Callable[..., Path]) -> None:
    run = make_run("cola", {"matthews": 0.5}, {"matthews": 0.4})
    path = RunDir(run).phase("3_retrain").predictions("dev")
    path.write_text("index\tprediction\n" + "".join(f"{index}\t1\n" for index in range(500)), encoding="utf-8")
    note = "the dev data have 500 rows, and those of cola 1,043"
    assert read_result(run).note == note and f"Not GLUE's cola: {note}" in glue_text([read_result(run)])
    assert next(csv.DictReader(io.StringIO(glue_csv([read_result(run)]))))["problem"] == note
    path.write_text("index\tprediction\n" + "".join(f"{index}\t1\n" for index in range(1043)), encoding="utf-8")
    assert read_result(run).note == ""


class TestBadInput:
    def test_two_runs_of_a_task(self, make_run: Callable[..., Path]) -> None:
        runs = [make_run("cola", {"matthews": 0.5}, {"matthews": 0.4}, name) for name in ("first", "second")]
        with pytest.raises(UserError, match=r"second and .*first are both runs of cola; give one of them"):
            complete_results(map(read_result, runs))

    def test_what_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="neither a run nor a folder of runs"):
            find_runs([tmp_path])

    def test_a_damaged_run(self, folder: Path) -> None:
        write_run_json(folder / "cola" / "timings.json", {"flops_speedup": "fast"})
        with pytest.raises(UserError, match=r"cola/timings\.json: timings is missing"):
            results(folder)


def test_runs_are_found_in_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    names = [run.name for run in find_runs([folder, folder / "cola"])]
    assert names == ["cola", "mnli-m", "mnli-mm", "mrpc", "sts-b", "cola"]
