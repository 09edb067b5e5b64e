"""Tests of the main job, train/driver.py and train/phases.py, on tiny data from end to end."""

import csv
import dataclasses
import hashlib
import io
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from sklearn import metrics

from fixtures.tiny_models import logits_of
from power_bert.config.experiment import Experiment
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.model.classifier_building import rebuild_classifier
from power_bert.predict.metrics import compute_scores
from power_bert.predict.predict_texts import Predictor
from power_bert.runs.resolve_model import find_stored_phase
from power_bert.runs.run_dir import BASELINE, NOTHING_ELIMINATED, PHASES, RunDir, read_run_json, write_run_json
from power_bert.runs.run_folder import baseline_epochs, check_run_dir, finished_run
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import get_task
from power_bert.train import phases
from power_bert.train import run_experiment as driver
from power_bert.train.phases import load_model
from power_bert.train.run_experiment import run_experiment
from power_bert.train.without_elimination import SCORES, add_missing_scores

TASKS = ("cola", "mrpc", "sts-b")
EPOCHS = 3
FOLDERS = {"cola": "CoLA", "mrpc": "MRPC", "sts-b": "STS-B"}
MODEL_FILES = {"config.json", "model.weights.h5", "task.json", "task.weights.h5", "tokenizer.json", "preprocessor.json"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run and where its data lies."""

    experiment: Experiment
    folder: RunDir
    output: str
    data: Path

    def labels(self) -> np.ndarray:
        """The dev labels, read without the project's reader."""
        rows = [line.split("\t") for line in (self.data / "dev.tsv").read_text(encoding="utf-8").splitlines()]
        if self.experiment.task == "cola":
            return np.array([int(row[1]) for row in rows])
        if self.experiment.task == "mrpc":
            return np.array([int(row[0]) for row in rows[1:]])
        return np.array([float(row[-1]) for row in rows[1:]])


def predictions(path: Path) -> np.ndarray:
    header, *rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    assert header == ["index", "prediction"]
    assert [row[0] for row in rows] == [str(index) for index in range(len(rows))]
    return np.array([float(row[1]) for row in rows])


@pytest.fixture(scope="session")
def finished(cola_run: Any, run_tiny: Callable[..., Any], tiny_glue: Path, tmp_path_factory: Any) -> Callable[..., Run]:
    """The run of a task: made when it is first asked for."""
    runs = {"cola": cola_run}

    def get(task: str) -> Run:
        if task not in runs:
            runs[task] = run_tiny(tmp_path_factory.mktemp(task) / "run", task=task)
        run = runs[task]
        return Run(run.experiment, RunDir(run.folder), run.output, tiny_glue / FOLDERS[task])

    return get


@pytest.fixture(params=["cola", *(pytest.param(task, marks=pytest.mark.slow) for task in TASKS[1:])])
def run(request: pytest.FixtureRequest, finished: Callable[..., Run]) -> Run:
    return finished(request.param)


@pytest.fixture
def copied(finished: Callable[..., Run], tmp_path: Path) -> Run:
    """A copy of the CoLA run, and of its data, that a test may change."""
    run = finished("cola")
    folder, data = RunDir(tmp_path / "run"), tmp_path / "CoLA"
    shutil.copytree(run.folder.path, folder.path)
    shutil.copytree(run.data, data)
    experiment = dataclasses.replace(run.experiment, output_dir=str(folder.path), data_dir=str(data))
    folder.config.write_text(experiment.to_json(), encoding="utf-8")
    return Run(experiment, folder, run.output, data)


class TestArtifacts:
    def test_every_phase_is_complete(self, run: Run) -> None:
        for name in PHASES:
            phase = run.folder.phase(name)
            assert phase.is_done and {entry.name for entry in phase.model.iterdir()} >= MODEL_FILES
        files = {name: {entry.name for entry in run.folder.phase(name).path.iterdir()} for name in PHASES}
        common = {"model", "metrics.json", "predictions_dev.tsv", "DONE"}
        assert files == {
            "1_fine_tune": common | {"predictions_test.tsv"},
            "2_search": common | {"retention.json"},
            "3_retrain": common | {"predictions_test.tsv", "predictions_dev_nothing_eliminated.tsv"},
        }, "no state to resume from, no candidate, no temporary file is left"
        names = {"config.json", "environment.json", "log.txt", "metrics.csv", "tensorboard", *PHASES}
        assert {entry.name for entry in run.folder.path.iterdir()} == names

    def test_config_is_the_experiment(self, run: Run) -> None:
        text = run.folder.config.read_text(encoding="utf-8")
        assert Experiment.from_json(text, "config.json") == run.experiment

    def test_environment_says_what_computed_and_on_what(self, run: Run) -> None:
        environment = read_run_json(run.folder.environment)
        assert environment["backend"] == keras.backend.backend() and environment["seed"] == 0
        assert environment["packages"]["keras"] == keras.__version__
        assert set(environment["data_sha256"]) == {"train.tsv", "dev.tsv", "test.tsv"}
        digest = hashlib.sha256((run.data / "dev.tsv").read_bytes()).hexdigest()
        assert environment["data_sha256"]["dev.tsv"] == digest

    def test_log_has_every_epochs_score_and_the_retention(self, run: Run) -> None:
        log = run.folder.log.read_text(encoding="utf-8")
        metric = get_task(run.experiment.task).metrics[0]
        for title in ("1 fine-tune", "2 search", "3 re-train"):
            found = re.findall(rf"{title}: epoch \d/{EPOCHS}  loss [\d.]+  dev {metric} (?:-?[\d.]+|undefined)", log)
            assert len(found) == EPOCHS
        retention = Retention.of(read_run_json(run.folder.phase("2_search").retention)["tokens"])
        assert f"configuration tokens {retention.shown()}\n" in log and retention.shown().endswith(",[CLS]")
        assert "40 training, 12 dev and 9 test examples" in log
        names = run.experiment.task_definition.class_names
        assert (f"2 labels (training / dev examples): '{(names or ['none'])[0]}' " in log) == (names is not None)
        # A slow machine also shows progress lines ("… left 12 s"), which the log leaves out.
        said = [line for line in run.output.splitlines() if line and not re.search(r" left \d+ s$", line)]
        assert all(line in log for line in said), "what the user saw is in the log"

    def test_metrics_csv_has_a_row_an_epoch(self, run: Run) -> None:
        rows = list(csv.DictReader(io.StringIO(run.folder.metrics_csv.read_text(encoding="utf-8"))))
        epochs = range(1, EPOCHS + 1)
        assert [(row["phase"], int(row["epoch"])) for row in rows] == [(name, i) for name in PHASES for i in epochs]
        histories = [entry for name in PHASES for entry in read_run_json(run.folder.phase(name).metrics)["history"]]
        for row, entry in zip(rows, histories, strict=True):
            assert float(row["train_loss"]) == entry["train_loss"]
            for name, score in entry["scores"].items():
                assert row[name] == ("" if score is None else str(score)), "an undefined score is null, and empty here"

    def test_tensorboard_has_losses_and_scores(self, run: Run) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run.folder.tensorboard))
        events.Reload()
        tags = set(events.Tags()["tensors"]) | set(events.Tags()["scalars"])
        assert {"1 fine-tune/loss", "2 search/loss", "3 re-train/loss"} <= tags
        assert f"3 re-train/dev_{get_task(run.experiment.task).metrics[0]}" in tags

    def test_retention_is_not_increasing(self, run: Run) -> None:
        values = read_run_json(run.folder.phase("2_search").retention)
        retention = values["tokens"]
        assert len(retention) == len(values["masses"]) == 2
        assert all(0 < value <= 1 for value in retention) and retention == sorted(retention, reverse=True)
        assert (values["retention_parameters"], values["unit"]) == (run.experiment.max_length, "fraction")
        backbone = load_model(run.folder.phase("3_retrain")).backbone
        assert (backbone.extraction, backbone.retention.to_json()) == ("hard", retention)

    def test_something_was_learned_and_eliminated(self, finished: Callable[..., Run]) -> None:
        folder = finished("cola").folder
        values = read_run_json(folder.phase("2_search").retention)
        assert max(values["masses"][:-1]) < values["retention_parameters"]
        assert all(read_run_json(folder.phase(name).metrics)["scores"]["matthews"] > 0.3 for name in PHASES)


class TestScores:
    def test_predictions_have_a_row_an_example(self, run: Run) -> None:
        for name in ("1_fine_tune", "3_retrain"):
            assert len(predictions(run.folder.phase(name).predictions("test"))) == 9
        found = [predictions(run.folder.phase(name).predictions("dev")) for name in PHASES]
        assert [len(values) for values in found] == [12, 12, 12]
        if run.experiment.task == "sts-b":
            assert all(0 <= value <= 5 for values in found for value in values)
        else:
            assert {float(value) for values in found for value in values} <= {0.0, 1.0}

    def test_glue_file_byte_by_byte(self, run: Run) -> None:
        data = run.folder.phase("3_retrain").predictions("test").read_bytes()
        number = rb"[0-5]\.[0-9]{3}" if run.experiment.task == "sts-b" else rb"[01]"
        assert re.fullmatch(rb"index\tprediction\n(?:[0-8]\t%b\n){9}" % number, data)

    @pytest.mark.parametrize("phase", PHASES)
    def test_scores_are_those_of_the_predictions_file(self, phase: str, run: Run) -> None:
        stored = read_run_json(run.folder.phase(phase).metrics)
        found, labels = predictions(run.folder.phase(phase).predictions("dev")), run.labels()
        expected = {
            "cola": lambda: {"matthews": metrics.matthews_corrcoef(labels, found)},
            "mrpc": lambda: {"f1": metrics.f1_score(labels, found), "accuracy": np.mean(labels == found)},
            "sts-b": lambda: {
                "spearman": stats.spearmanr(labels, found).statistic,
                "pearson": stats.pearsonr(labels, found).statistic,
            },
        }[run.experiment.task]()
        assert stored["scores"] == pytest.approx(expected, nan_ok=True)
        assert stored["metric"] == next(iter(expected))
        assert stored["history"][stored["best_epoch"] - 1]["scores"] == stored["scores"]

    @pytest.mark.parametrize("phase", ["1_fine_tune", "3_retrain"])
    def test_the_stored_model_predicts_the_same_from_raw_text(self, phase: str, finished: Callable[..., Run]) -> None:
        run = finished("cola")
        model = load_model(run.folder.phase(phase))
        for split in ("dev", "test"):
            examples = read_examples(get_task("cola"), split, run.data)  # type: ignore[arg-type]
            classes = logits_of(model, examples.first).argmax(axis=-1)
            assert classes.tolist() == predictions(run.folder.phase(phase).predictions(split)).tolist()
        assert model.labels == ("unacceptable", "acceptable")

    def test_the_cut_model_is_scored_before_it_is_trained_again(self, run: Run) -> None:
        before = {name: read_run_json(run.folder.phase(name).metrics)["scores_before_training"] for name in PHASES}
        assert before["1_fine_tune"] is None and before["2_search"] is None
        assert list(before["3_retrain"]) == list(get_task(run.experiment.task).metrics)

    def test_the_same_weights_are_scored_with_nothing_eliminated(self, run: Run) -> None:
        phase = run.folder.phase("3_retrain")
        full, found = (
            rebuild_classifier(load_model(phase), extraction=None),
            predictions(phase.predictions(NOTHING_ELIMINATED)),
        )
        task = get_task(run.experiment.task)
        examples = read_examples(task, "dev", run.data)
        outputs = Predictor(full, run.experiment.max_length).predictions(task, [examples])
        assert found == pytest.approx(np.concatenate(list(outputs)), abs=1e-3)
        scores = compute_scores(task.metrics, run.labels(), found)
        assert read_run_json(phase.metrics)["scores_nothing_eliminated"] == pytest.approx(scores, nan_ok=True)
        assert all(
            "scores_nothing_eliminated" not in read_run_json(run.folder.phase(name).metrics) for name in PHASES[:2]
        )

    def test_the_search_ends_with_its_last_epoch(self, run: Run) -> None:
        assert read_run_json(run.folder.phase("2_search").metrics)["best_epoch"] == EPOCHS


class TestBaseline:
    def test_it_trains_the_fine_tuned_weights_on_for_as_many_epochs(
        self, copied: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only how it is trained: a whole training is `test_a_finished_run_gets_one_when_asked`."""
        asked: list[tuple[Any, Any]] = []

        def train(context: Any, model: Any, phase_dir: Any, plan: Any) -> dict[str, Any]:
            asked.append((model, plan))
            raise KeyboardInterrupt

        monkeypatch.setattr(phases, "train_classifier", train)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(copied.experiment, console=Console(quiet=True), baseline=True)
        ((model, plan),) = asked
        assert (plan.epochs, plan.keep, model.backbone.extraction) == (2 * EPOCHS, "best", None)
        for ours, theirs in zip(model.weights, load_model(copied.folder.phase("1_fine_tune")).weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        given = dataclasses.replace(copied.experiment, retention_config="0.5,0.25")
        assert baseline_epochs(given) == EPOCHS
        assert baseline_epochs(dataclasses.replace(given, self_distill=True, augment_copies=2)) == 3 * EPOCHS

    def test_a_finished_run_gets_one_when_asked(self, copied: Run, fits: list[str]) -> None:
        settings, kept = copied.folder.config.read_bytes(), contents(copied.folder.phase("3_retrain").path)
        copied.folder.summary.write_text("old", encoding="utf-8")
        assert finished_run(copied.experiment, True) and not finished_run(copied.experiment, True, baseline=True)
        run_experiment(copied.experiment, console=Console(quiet=True), baseline=True)
        metrics, phase = read_run_json(copied.folder.phase(BASELINE).metrics), copied.folder.phase(BASELINE)
        assert len(fits) == 1 and len(metrics["history"]) == 2 * EPOCHS and phase.is_done
        found = predictions(phase.predictions("dev"))
        expected = compute_scores(["matthews"], copied.labels(), found)
        assert metrics["scores"] == pytest.approx(expected) and load_model(phase).backbone.extraction is None
        assert copied.folder.config.read_bytes() == settings and contents(copied.folder.phase("3_retrain").path) == kept
        rows = list(csv.DictReader(io.StringIO(copied.folder.metrics_csv.read_text(encoding="utf-8"))))
        names = [row["phase"] for row in rows]
        assert names == [name for name in PHASES for _ in range(EPOCHS)] + [BASELINE] * 2 * EPOCHS
        assert finished_run(copied.experiment, True, baseline=True)


class TestRunOfAnEarlierVersion:
    """Its model was not scored with nothing eliminated."""

    @pytest.fixture
    def older(self, copied: Run) -> RunDir:
        phase = copied.folder.phase("3_retrain")
        copied.folder.summary.write_text("old", encoding="utf-8")
        phase.predictions(NOTHING_ELIMINATED).unlink()
        values = read_run_json(phase.metrics)
        write_run_json(
            phase.metrics, {name: value for name, value in values.items() if name not in (SCORES, "warnings")}
        )
        return copied.folder

    def test_it_is_not_finished(self, older: RunDir) -> None:
        experiment = Experiment.from_json(older.config.read_text(encoding="utf-8"), "config.json")
        assert finished_run(experiment, True) is None

    def test_it_is_scored_later(self, older: RunDir, finished: Callable[..., Run]) -> None:
        add_missing_scores(find_stored_phase(older.path), Console(quiet=True))
        phase, expected = older.phase("3_retrain"), finished("cola").folder.phase("3_retrain")
        file = phase.predictions(NOTHING_ELIMINATED)
        assert file.read_bytes() == expected.predictions(NOTHING_ELIMINATED).read_bytes()
        assert read_run_json(phase.metrics)[SCORES] == read_run_json(expected.metrics)[SCORES]
        before = file.stat().st_mtime_ns
        add_missing_scores(find_stored_phase(older.path), Console(quiet=True))
        assert file.stat().st_mtime_ns == before


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that are trained."""
    trained: list[str] = []
    fit = keras.Model.fit

    def counting(model: keras.Model, *arguments: Any, **keywords: Any) -> Any:
        trained.append(model.name)
        return fit(model, *arguments, **keywords)

    monkeypatch.setattr(keras.Model, "fit", counting)
    return trained


def run_quietly(experiment: Experiment, resume: bool = True) -> str:
    console = Console(file=io.StringIO(), width=200)
    run_experiment(experiment, resume, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class TestSecondCall:
    def test_does_nothing_again(self, copied: Run, fits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(driver, "load_pretrained", None)  # the checkpoint is not even read
        before, started = contents(copied.folder.path), time.perf_counter()
        output = run_quietly(copied.experiment)
        assert time.perf_counter() - started < 10 and fits == []
        assert output.count("already done, dev matthews") == 3
        after = contents(copied.folder.path)
        changed = {name for name in after if after[name] != before.get(name)}
        assert {name for name in changed if not name.startswith("tensorboard/")} <= {"log.txt", "environment.json"}

    @pytest.mark.slow
    def test_makes_a_missing_phase_again_and_no_other(self, copied: Run, fits: list[str]) -> None:
        before = contents(copied.folder.path)
        shutil.rmtree(copied.folder.phase("3_retrain").path)
        output = run_quietly(dataclasses.replace(copied.experiment))
        assert len(fits) == 1 and output.count("already done") == 2
        after = contents(copied.folder.path)
        for name in ("3_retrain/predictions_dev.tsv", "3_retrain/predictions_test.tsv", "2_search/retention.json"):
            assert before[name] == after[name], "the phase alone comes to what it came to in the whole run"

    def test_a_moved_run_goes_on(self, copied: Run) -> None:
        check_run_dir(dataclasses.replace(copied.experiment, output_dir=str(copied.folder.path)), resume=True)
        moved = copied.folder.path.rename(copied.folder.path.with_name("moved"))
        check_run_dir(dataclasses.replace(copied.experiment, output_dir=str(moved)), resume=True)

    def test_without_resume_the_older_run_is_set_aside(self, copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        class Began(Exception):
            pass

        def begin(*_: Any) -> None:
            raise Began

        before = contents(copied.folder.path)
        monkeypatch.setattr(driver, "fine_tune", begin)
        with pytest.raises(Began):
            run_quietly(dataclasses.replace(copied.experiment, regularization=0.5), resume=False)
        (older,) = (entry for entry in copied.folder.path.parent.iterdir() if entry.name.startswith("run."))
        assert contents(older) == before
        new = {entry.name for entry in copied.folder.path.iterdir()}
        assert new == {"config.json", "environment.json", "log.txt", "tensorboard"}
        assert read_run_json(copied.folder.config)["regularization"] == 0.5


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "listed"),
        [
            ({"regularization": 0.5}, "regularization: 0.007 there, 0.5 now"),
            ({"seed": 3}, "seed: 0 there, 3 now"),
            ({"task": "mrpc"}, "task: 'cola' there, 'mrpc' now"),
            ({"epochs": 9, "search_epochs": 9}, "epochs: 3 there, 9 now; search_epochs: 3 there, 9 now"),
            ({"dropout": 0.2}, "dropout: None there, 0.2 now"),
        ],
    )
    def test_another_run_is_there(self, changes: dict[str, Any], listed: str, copied: Run, fits: list[str]) -> None:
        before = contents(copied.folder.path)
        with pytest.raises(UserError) as error:
            run_quietly(dataclasses.replace(copied.experiment, **changes))
        message = str(error.value)
        assert f"OUTPUT_DIR={copied.folder.path} holds another run ({listed})" in message
        assert "Choose another OUTPUT_DIR" in message and "RESUME=0" in message
        assert fits == [] and contents(copied.folder.path) == before

    @pytest.mark.parametrize("file", ["train.tsv", "dev.tsv", "test.tsv"])
    def test_the_data_have_changed(self, file: str, copied: Run, fits: list[str]) -> None:
        path = copied.data / file
        path.write_text(path.read_text(encoding="utf-8").replace("the", "a"), encoding="utf-8")
        with pytest.raises(UserError, match=rf"{file} has changed since .*; restore it, .*OUTPUT_DIR.*RESUME=0"):
            run_quietly(copied.experiment)
        assert fits == []

    @pytest.mark.parametrize("name", ["environment.json", "1_fine_tune/metrics.json"])
    def test_a_damaged_file_of_the_run(self, name: str, copied: Run) -> None:
        (copied.folder.path / name).write_text("{")
        with pytest.raises(UserError, match=rf"{name}, line 1: not valid JSON"):
            run_quietly(copied.experiment)

    def test_a_model_that_was_deleted(self, copied: Run) -> None:
        shutil.rmtree(copied.folder.phase("2_search").model)
        shutil.rmtree(copied.folder.phase("3_retrain").path)
        with pytest.raises(UserError, match=r"2_search/model: .*delete .*2_search"):
            run_quietly(copied.experiment)

    def test_the_tokenizer_was_deleted(self, copied: Run) -> None:
        shutil.rmtree(copied.folder.phase("1_fine_tune").model)
        with pytest.raises(UserError, match=r"1_fine_tune/model: .*delete .*1_fine_tune"):
            run_quietly(copied.experiment)

    def test_a_retention_configuration_that_cannot_be(self, copied: Run) -> None:
        shutil.rmtree(copied.folder.phase("3_retrain").path)
        write_run_json(copied.folder.phase("2_search").retention, {"retention": [0.5, 0.6]})
        with pytest.raises(UserError, match=r"'0\.5,0\.6': block 2 keeps 0\.6, more than"):
            run_quietly(copied.experiment)


class TestBadInput:
    def test_leaves_no_trace_and_can_be_corrected(
        self, make_experiment: Callable[..., Experiment], tiny_glue: Path, tmp_path: Path, monkeypatch: Any
    ) -> None:
        data, output = tmp_path / "CoLA", tmp_path / "runs" / "run"
        shutil.copytree(tiny_glue / "CoLA", data)
        good = (data / "dev.tsv").read_text(encoding="utf-8")
        (data / "dev.tsv").write_text(good + "tiny\t7\t\tthe cat\n", encoding="utf-8")
        experiment = make_experiment(output, data_dir=str(data))
        with pytest.raises(UserError, match="line 13: unknown label '7'"):
            run_quietly(experiment)
        with pytest.raises(UserError, match="MAX_LENGTH=41 is over the 40 positions"):
            run_quietly(make_experiment(output, max_length=41))
        assert not output.parent.exists()
        (data / "dev.tsv").write_text(good, encoding="utf-8")
        reached: list[Any] = []
        monkeypatch.setattr(driver, "run_phases", lambda context, *_: reached.append(context))
        run_quietly(experiment)
        assert len(reached) == 1 and json.loads((output / "config.json").read_text())["data_dir"] == str(data)
        # No phase has begun: other settings may still take the folder.
        run_quietly(dataclasses.replace(experiment, regularization=0.5, seed=1))
        assert read_run_json(output / "config.json")["seed"] == 1

    def test_a_training_that_diverges_says_so_and_keeps_what_is_finished(
        self, copied: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from power_bert.train.reporting import TrainingProgress

        shutil.rmtree(copied.folder.phase("3_retrain").path)
        show = TrainingProgress.on_train_batch_end

        def diverge(self: TrainingProgress, batch: int, logs: dict[str, Any] | None = None) -> None:
            show(self, batch, {"loss": float("nan")} if batch == 2 else logs)

        monkeypatch.setattr(TrainingProgress, "on_train_batch_end", diverge)
        with pytest.raises(UserError, match=r"3 re-train: the loss became nan at training step 3.*smaller LR_BERT"):
            run_quietly(copied.experiment)
        assert copied.folder.phase("2_search").is_done and not copied.folder.phase("3_retrain").is_done
        assert "stopped: UserError" in copied.folder.log.read_text(encoding="utf-8")
