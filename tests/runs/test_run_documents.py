"""Tests of power_bert.runs.run_documents: an edited or damaged file of a run is named, with the entry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutated, mutation_settings
from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.runs.run_dir import RunDir, write_run_json
from power_bert.runs.run_documents import read_card_rows, read_environment, read_metrics, read_retention
from power_bert.runs.run_folder import read_settings

EPOCH = {"epoch": 1, "train_loss": 0.5, "scores": {"matthews": 0.25}, "train_seconds": 2, "eval_seconds": 0.5}
METRICS: dict[str, Any] = {
    "scores": {"matthews": 0.25},
    "best_epoch": 1,
    "history": [EPOCH],
    "seconds": 2.5,
    "teachers": [{"name": "runs/teacher", "sha256": "ab", "scores": {"matthews": None}}],
}


def edited(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_run_json(tmp_path / "metrics.json", METRICS)
    assert read_metrics(tmp_path / "metrics.json", ["matthews"]) == METRICS
    write_run_json(tmp_path / "retention.json", {"retention": [1.0, 0.5, 0.25]})
    assert read_retention(tmp_path / "retention.json") == Retention("fraction", (1.0, 0.5, 0.25))
    assert read_environment(tmp_path / "environment.json") == {}, "an older run has none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "scores is None, expected an object"),
        ({"scores": {"matthews": "0.25"}}, "scores.matthews is '0.25', expected a whole number or a number or null"),
        ({"scores": {}}, "scores.matthews is missing"),
        ({"history": {}}, "history is {}, expected a list"),
        ({"history": [EPOCH, {**EPOCH, "epoch": 2.5}]}, r"history\[1\]\.epoch is 2\.5, expected a whole number"),
        ({"history": [{"epoch": 1}]}, r"history\[0\]\.train_loss is missing"),
        ({"seconds": float("nan")}, "seconds is nan, expected a whole number or a number"),
        ({"seconds": 10**400}, "seconds is 1000.*…, expected a whole number or a number"),
        ({"seconds": True}, "seconds is True, expected"),
        ({"teachers": [{"name": 1}]}, r"teachers\[0\]\.name is 1, expected a text"),
    ],
)
def test_edited_metrics(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = edited(tmp_path / "metrics.json", {**METRICS, **changes})
    with pytest.raises(UserError, match=rf"metrics\.json: damaged: {message}") as caught:
        read_metrics(path, ["matthews"])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"the file is \[\], expected an object"),
        ({}, "tokens is missing"),
        ({"retention": "0.5"}, "retention is '0.5', expected a list"),
        ({"retention": [0.5, None]}, r"retention\[1\] is None, expected a whole number or a number"),
        ({"retention": [float("inf")]}, r"retention\[0\] is inf"),
    ],
)
def test_an_edited_retention(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"retention\.json: damaged: {message}"):
        read_retention(edited(tmp_path / "retention.json", content))


@pytest.fixture
def experiment() -> Experiment:
    return resolve_experiment({"task": "cola", "data_dir": "data", "checkpoint_path": "model", "output_dir": "run"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": 5}, "task=5: expected a text"),
        ({"kind": ["distill"]}, "unknown settings kind"),
        ({"epochs": 10**400}, "is out of range"),
        ({"epochs": float("nan")}, "expected a whole number"),
        ({"batch_size": None}, "expected a whole number"),
    ],
)
def test_an_edited_config(tmp_path: Path, experiment: Experiment, changes: dict[str, Any], message: str) -> None:
    edited(tmp_path / "config.json", {**json.loads(experiment.to_json()), **changes})
    with pytest.raises(UserError, match=rf"(?i)config\.json: .*{message}"):
        read_settings(RunDir(tmp_path))


READERS: dict[str, Callable[[Path], Any]] = {
    "metrics.json": lambda path: read_metrics(path, ["matthews"]),
    "retention.json": read_retention,
    "environment.json": read_environment,
    "figures.json": read_card_rows,
    "config.json": lambda path: read_settings(RunDir(path.parent)),
}


def test_any_damage_is_a_user_error(tmp_path: Path, experiment: Experiment) -> None:
    write_run_json(tmp_path / "metrics.json", METRICS)
    write_run_json(tmp_path / "retention.json", {"retention": [1.0, 0.5, 0.25]})
    write_run_json(tmp_path / "environment.json", {"data_sha256": {"train.tsv": "ab"}, "teacher_forwards": 5})
    write_run_json(tmp_path / "figures.json", {"card": [["latency", "5 ms"]]})
    (tmp_path / "config.json").write_text(experiment.to_json(), encoding="utf-8")
    contents = {name: (tmp_path / name).read_bytes() for name in READERS}

    @mutation_settings
    @given(st.sampled_from(sorted(READERS)).flatmap(lambda name: st.tuples(st.just(name), mutated(contents[name]))))
    def check(damaged: tuple[str, bytes]) -> None:
        name, content = damaged
        (tmp_path / name).write_bytes(content)
        try:
            READERS[name](tmp_path / name)
        except UserError as error:
            assert str(tmp_path) in str(error) and len(str(error)) < 1500

    check()
