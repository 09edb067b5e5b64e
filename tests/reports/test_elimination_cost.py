"""Tests of power_bert.reports.elimination_cost, contestants and the end of a run, on runs without weights."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.config.experiment import resolve_experiment
from power_bert.experiments.contestants import name_groups, with_references
from power_bert.predict.metrics import compute_scores
from power_bert.reports import elimination_cost
from power_bert.reports.elimination_cost import measure_differences, read_differences, reference_notes
from power_bert.runs.resolve_model import find_stored_phase
from power_bert.runs.run_dir import BASELINE, NOTHING_ELIMINATED, PHASES, PhaseDir, RunDir, write_run_json
from power_bert.text.glue_tasks import get_task
from power_bert.text.predictions import write_predictions
from power_bert.train.without_elimination import SCORES

TASK = get_task("mrpc")
LABELS = np.arange(30) % 3 // 2  # two thirds are 0


def wrong_in(*rows: int) -> np.ndarray:
    predictions = LABELS.copy()
    predictions[list(rows)] = 1 - predictions[list(rows)]
    return predictions


ELIMINATED, FULL, LONGER = wrong_in(0, 1, 2, 3), wrong_in(0, 1), wrong_in()


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    rows = [f"{label}\t1\t2\tone {row}\ttwo" for row, label in enumerate(LABELS)]
    lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", *rows]
    (tmp_path / "dev.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = RunDir(tmp_path / "run")
    finish(run.phase(PHASES[2]), ELIMINATED, **{SCORES: compute_scores(TASK.metrics, LABELS, FULL)})
    write_predictions(run.phase(PHASES[2]).predictions(NOTHING_ELIMINATED), TASK, FULL)
    write_run_json(run.phase(PHASES[2]).model / "config.json", {"config": {"retention": [0.5, 0.25]}})
    given = {"task": "mrpc", "data_dir": str(tmp_path), "output_dir": str(run.path)}
    run.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
    return run


def finish(phase_dir: PhaseDir, predictions: np.ndarray, **more: Any) -> None:
    write_predictions(phase_dir.predictions("dev"), TASK, predictions)
    write_run_json(phase_dir.metrics, {"scores": compute_scores(TASK.metrics, LABELS, predictions), **more})
    phase_dir.mark_done()


def measured(run_dir: RunDir) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=300)
    measure_differences(run_dir, console)
    return read_differences(run_dir.phase(PHASES[2])), console.file.getvalue()  # type: ignore[attr-defined]


def test_differences_are_those_of_the_prediction_files(run_dir: RunDir) -> None:
    found, said = measured(run_dir)
    assert list(found) == [NOTHING_ELIMINATED] and said == ""
    accuracy = found[NOTHING_ELIMINATED]["accuracy"]
    assert (accuracy.before, accuracy.after) == pytest.approx((28 / 30, 26 / 30))
    assert accuracy.interval is not None and accuracy.interval.low < -2 / 30 < accuracy.interval.high <= 0
    assert accuracy.text().startswith("93.33 → 86.67 (−6.66, 95 % interval −16.67 to ")


def test_a_baseline_counts_as_soon_as_it_is_done(run_dir: RunDir) -> None:
    finish(run_dir.phase(BASELINE), LONGER)
    found, _ = measured(run_dir)
    assert list(found) == [NOTHING_ELIMINATED, BASELINE] and found[BASELINE]["f1"].before == 1.0
    notes = reference_notes(find_stored_phase(run_dir.path))
    assert len(notes) == 4 and "as many epochs, nothing eliminated → with elimination: f1 100.00 → " in notes[2]


def test_without_the_dev_data_what_was_measured_stays(run_dir: RunDir) -> None:
    before, _ = measured(run_dir)
    (run_dir.path.parent / "dev.tsv").unlink()
    found, said = measured(run_dir)
    assert (
        found == before and said.startswith("elimination is not compared with its references: ") and "dev.tsv" in said
    )


def test_other_dev_data_are_not_compared_with(run_dir: RunDir) -> None:
    path = run_dir.path.parent / "dev.tsv"
    header, first, *others = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, "1" + first[1:], *others]) + "\n", encoding="utf-8")
    found, said = measured(run_dir)
    assert found == {} and "are not those that" in said


def test_a_run_of_an_earlier_version_is_scored_without_elimination_first(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(stored: Any, console: Console) -> None:
        write_predictions(stored.phase_dir.predictions(NOTHING_ELIMINATED), TASK, FULL)

    run_dir.phase(PHASES[2]).predictions(NOTHING_ELIMINATED).unlink()
    monkeypatch.setattr(elimination_cost, "add_missing_scores", add)
    assert list(measured(run_dir)[0]) == [NOTHING_ELIMINATED]


def test_a_model_that_eliminates_nothing_is_left_alone(run_dir: RunDir) -> None:
    write_run_json(run_dir.phase(PHASES[2]).model / "config.json", {"config": {"retention": None}})
    assert measured(run_dir) == ({}, "")


def test_a_comparison_of_runs_gets_the_references_as_rows(run_dir: RunDir) -> None:
    stored = find_stored_phase(run_dir.path)
    finish(run_dir.phase(BASELINE), LONGER)
    contestants = with_references(stored)
    names = ["PoWER-BERT", "PoWER-BERT, nothing eliminated", "BERT, as many epochs as PoWER-BERT"]
    assert [group.name for group in name_groups(contestants)] == names
    assert [contestant.is_reference for contestant in contestants] == [False, True, True]
    write_run_json(run_dir.phase(PHASES[2]).model / "config.json", {})
    assert len(with_references(find_stored_phase(run_dir.path))) == 1
