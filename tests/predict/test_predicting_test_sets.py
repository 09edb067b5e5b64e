"""Tests of train/predicting_test_sets.py and train/run_folder.py, and of runs that differ in them, end to end."""

import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fixtures.tiny_models import logits_of
from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.predict import predicting_test_sets
from power_bert.reports.finish_run import finish_run
from power_bert.reports.run_summary import summary_rows
from power_bert.runs.run_dir import RunDir, read_run_json
from power_bert.runs.run_folder import finished_run
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import get_task
from power_bert.train import run_experiment as driver
from power_bert.train.phases import load_model
from power_bert.train.run_experiment import run_experiment

CLASSES = ("contradiction", "entailment", "neutral")
TEXTS = {"contradiction": "the cat sat", "entailment": "dog and mouse", "neutral": "very big tree"}


def run_quietly(experiment: Experiment, **options: Any) -> RunDir:
    return run_experiment(experiment, console=Console(file=io.StringIO()), **options)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def copied(cola_run: Any, tmp_path: Path) -> Experiment:
    """A copy of the CoLA run that a test may change."""
    shutil.copytree(cola_run.folder, tmp_path / "run")
    return dataclasses.replace(cola_run.experiment, output_dir=str(tmp_path / "run"))


@pytest.mark.slow
class TestGivenRetention:
    @pytest.fixture(scope="class")
    def run(self, make_experiment: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
        folder = tmp_path_factory.mktemp("given") / "run"
        return run_quietly(make_experiment(folder, epochs=1, retention_config="0.75,0.25"), predict_test=False)

    def test_there_is_no_search(self, run: RunDir) -> None:
        assert not run.phase("2_search").path.exists()
        assert run.phase("1_fine_tune").is_done and run.phase("3_retrain").is_done
        assert [line.split(",")[0] for line in lines(run.metrics_csv)] == ["phase", "1_fine_tune", "3_retrain"]

    def test_the_model_keeps_what_was_asked_for(self, run: RunDir) -> None:
        backbone = load_model(run.phase("3_retrain")).backbone
        assert (backbone.extraction, backbone.retention.values) == ("hard", (0.75, 0.25))
        assert read_run_json(run.retention)["tokens"] == [0.75, 0.25]

    def test_summary(self, run: RunDir) -> None:
        finish_run(run, Console(file=io.StringIO()))
        rows = {row.label: row.value for row in summary_rows(run)}
        assert rows["kept after block 1 … 2"] == "0.75,0.25 (fractions of each example's tokens)"
        assert rows["retention configuration"] == "3_retrain/retention.json"
        assert "2_search" not in rows

    def test_no_predictions_where_none_are_wanted(self, run: RunDir) -> None:
        assert not run.phase("3_retrain").predictions("test").exists()

    @pytest.mark.parametrize(("choice", "message"), [("0.5", "has 1 values"), ("0.5,0.6", "values may not increase")])
    def test_one_that_does_not_fit_leaves_no_trace(
        self, choice: str, message: str, make_experiment: Callable[..., Experiment], tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=message):
            run_quietly(make_experiment(tmp_path / "run", retention_config=choice))
        assert not (tmp_path / "run").exists()


class TestPredictions:
    def test_missing_ones_are_made_without_training(self, copied: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
        run = RunDir(Path(copied.output_dir))
        before = {name: run.phase(name).predictions("test").read_bytes() for name in ("1_fine_tune", "3_retrain")}
        for name in before:
            run.phase(name).predictions("test").unlink()
        run_quietly(copied, predict_test=False)
        assert not run.phase("3_retrain").predictions("test").exists()
        run_quietly(copied)
        assert before == {name: run.phase(name).predictions("test").read_bytes() for name in before}
        monkeypatch.setattr(predicting_test_sets, "Predictor", None)
        run_quietly(copied)  # nothing is predicted again

    def test_without_them_test_data_are_not_read(
        self, make_experiment: Callable[..., Experiment], tiny_glue: Path, tmp_path: Path, monkeypatch: Any
    ) -> None:
        shutil.copytree(tiny_glue / "CoLA", tmp_path / "CoLA")
        (tmp_path / "CoLA" / "test.tsv").unlink()
        monkeypatch.setattr(driver, "run_phases", lambda *_: None)
        experiment = make_experiment(tmp_path / "run", data_dir=str(tmp_path / "CoLA"))
        with pytest.raises(UserError, match=r"test\.tsv: no such file"):
            run_quietly(experiment)
        assert not (tmp_path / "run").exists()
        run_quietly(experiment, predict_test=False)

    def test_bad_test_data_stop_the_run_before_it_begins(
        self, make_experiment: Callable[..., Experiment], tiny_glue: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_glue / "CoLA", tmp_path / "CoLA")
        with open(tmp_path / "CoLA" / "test.tsv", "a", encoding="utf-8") as file:
            file.write("9\tone\ttoo many\n")
        with pytest.raises(UserError, match=r"test\.tsv, line 11: expected 2 columns"):
            run_quietly(make_experiment(tmp_path / "run", data_dir=str(tmp_path / "CoLA")))
        assert not (tmp_path / "run").exists()


class TestFinishedRun:
    def test_a_finished_one(self, copied: Experiment) -> None:
        run = RunDir(Path(copied.output_dir))
        assert finished_run(copied, predict_test=True) is None, "the summary is missing"
        run.summary.write_text("summary")
        assert finished_run(copied, predict_test=True) == run
        run.phase("3_retrain").predictions("test").unlink()
        assert finished_run(copied, predict_test=True) is None
        assert finished_run(copied, predict_test=False) == run
        (run.phase("2_search").path / "DONE").unlink()
        assert finished_run(copied, predict_test=False) is None

    def test_another_one(self, copied: Experiment) -> None:
        with pytest.raises(UserError, match="holds another run"):
            finished_run(dataclasses.replace(copied, seed=5), predict_test=True)


@pytest.fixture
def mnli(tmp_path: Path) -> Path:
    """A GLUE folder with MNLI, whose label follows from the first sentence, and AX."""
    (tmp_path / "MNLI").mkdir()
    (tmp_path / "AX").mkdir()
    rows = [(TEXTS[CLASSES[row % 3]], "the dog ran" if row % 2 else "") for row in range(24)]
    labeled = [f"{first}\t{second}\t{CLASSES[row % 3]}" for row, (first, second) in enumerate(rows)]
    for split in ("train", "dev_matched", "dev_mismatched"):
        text = "\n".join(["sentence1\tsentence2\tgold_label", *labeled])
        (tmp_path / "MNLI" / f"{split}.tsv").write_text(text + "\n", encoding="utf-8")
    for name, count in (("MNLI/test_matched", 5), ("MNLI/test_mismatched", 7), ("AX/diagnostic", 4)):
        text = "\n".join(f"{row}\t{first}\t{second}" for row, (first, second) in enumerate(rows[:count]))
        (tmp_path / f"{name}.tsv").write_text(f"index\tsentence1\tsentence2\n{text}\n", encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("data_dir", [".", "MNLI"])
def test_an_mnli_run_predicts_its_family(
    data_dir: str, mnli: Path, make_experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(driver, "search", lambda context, result: result)
    monkeypatch.setattr(driver, "retrain", lambda context, result: result)
    experiment = make_experiment(tmp_path / "run", task="mnli-m", data_dir=str(mnli / data_dir), epochs=1)
    phase = run_quietly(experiment).phase("1_fine_tune")
    written = {path.name: lines(path) for path in phase.path.glob("predictions_test*.tsv")}
    assert {name: len(rows) for name, rows in written.items()} == {
        **{"predictions_test.tsv": 6, "predictions_test_mnli-mm.tsv": 8, "predictions_test_ax.tsv": 5}
    }
    assert written["predictions_test.tsv"] == written["predictions_test_mnli-mm.tsv"][:6], "the same texts"
    examples = read_examples(get_task("mnli-mm"), "test", mnli)
    logits = logits_of(load_model(phase), examples.first, examples.second)
    expected = [f"{row}\t{CLASSES[index]}" for row, index in enumerate(logits.argmax(axis=-1))]
    assert written["predictions_test_mnli-mm.tsv"] == ["index\tprediction", *expected]
