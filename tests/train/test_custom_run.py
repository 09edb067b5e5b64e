"""Runs on the user's own data, and what a run says of data that do not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.runs.run_dir import PHASES, RunDir

SHORT = {"epochs": 1, "batch_size": 8, "label_column": "topic"}


def write_topics(folder: Path, splits: tuple[str, ...]) -> Path:
    """Three classes as CSV: the label follows from the words."""
    folder.mkdir()
    words = {"animal": "the cat sat", "place": 'a "house", on a tree', "time": "today\nnot quickly"}
    for split in splits:
        rows = [f'"{text.replace(chr(34), chr(34) * 2)}",{label}' for label, text in words.items()] * 6
        (folder / f"{split}.csv").write_text("text,topic\n" + "\n".join(rows) + "\n")
    return folder


class TestClasses:
    @pytest.mark.slow
    def test_three_classes_without_test_data(
        self, make_experiment: Callable[..., Experiment], run_tiny: Callable[..., Any], tmp_path: Path
    ) -> None:
        data = write_topics(tmp_path / "topics", ("train", "dev"))
        settings = {**SHORT, "task": "custom", "data_dir": str(data), "text_columns": "text", "metric": "macro_f1"}
        run = run_tiny(tmp_path / "run", **settings)
        phase = RunDir(run.folder).phase(PHASES[2])
        scores = json.loads(phase.metrics.read_text())["scores"]
        assert list(scores) == ["macro_f1", "accuracy"]
        predictions = phase.predictions("dev").read_text().splitlines()
        assert len(predictions) == 19 and {line.split("\t")[1] for line in predictions[1:]} <= {
            "animal",
            "place",
            "time",
        }
        assert not phase.predictions("test").exists()
        assert json.loads((run.folder / "config.json").read_text())["labels"] == ["animal", "place", "time"]


@pytest.mark.slow
class TestScores:
    def test_pairs_with_scores_of_any_range(self, run_tiny: Callable[..., Any], tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        for split in ("train", "validation", "test"):
            rows = [{"left": "the cat", "right": "a dog", "topic": -50 + 100 * generator.random()} for _ in range(20)]
            rows += [{"left": "the cat sat", "right": "not today", "topic": 90.5}] * 20
            (tmp_path / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        settings = {**SHORT, "task": "custom", "data_dir": str(tmp_path), "text_columns": "left,right"}
        run = run_tiny(tmp_path / "run", **settings, metric="pearson")
        phase = RunDir(run.folder).phase(PHASES[2])
        lines = phase.predictions("test").read_text().splitlines()
        assert len(lines) == 41 and all(np.isfinite(float(line.split("\t")[1])) for line in lines[1:])
        assert max(float(line.split("\t")[1]) for line in lines[1:]) > 5.0, "not clipped to STS-B's range"


class TestBadData:
    def run(self, experiment: Experiment) -> None:
        from power_bert.train.run_experiment import run_experiment

        run_experiment(experiment)

    def test_the_diagnostic_set_cannot_be_trained(
        self, make_experiment: Callable[..., Experiment], tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=r"ax has no train data.*Train .*mnli-m or mnli-mm"):
            self.run(make_experiment(tmp_path / "run", task="ax"))
        assert not (tmp_path / "run").exists()

    def test_a_label_that_only_dev_has(self, make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
        data = write_topics(tmp_path / "topics", ("train", "dev"))
        (data / "dev.csv").write_text("text,topic\na,animal\nb,person\n")
        settings = {**SHORT, "task": "custom", "data_dir": str(data), "text_columns": "text"}
        with pytest.raises(
            UserError, match=r"dev\.csv, line 3: unknown label 'person'\. Expected one of: animal,.* set LABELS"
        ):
            self.run(make_experiment(tmp_path / "run", **settings))
        assert not (tmp_path / "run").exists()
