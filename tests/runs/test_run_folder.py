"""Tests of power_bert.runs.run_folder: which folder an experiment gets where the user names none."""

from pathlib import Path
from typing import Any

import pytest

from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.errors import UserError
from power_bert.runs.run_dir import PHASES, RunDir
from power_bert.runs.run_folder import check_run_dir, choose_folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "data-checkpoint"


def experiment_in(folder: Path, **settings: Any) -> Experiment:
    return resolve_experiment({"output_dir": str(folder), **settings})


def begin(experiment: Experiment) -> None:
    run_dir = RunDir(Path(experiment.output_dir))
    run_dir.phase(PHASES[0]).path.mkdir(parents=True)
    run_dir.config.write_text(experiment.to_json(), encoding="utf-8")


def chosen(base: Path, only_existing: bool = False, **settings: Any) -> str:
    return Path(choose_folder(experiment_in(base, **settings), only_existing).output_dir).name


def test_the_first_run_gets_the_plain_name(base: Path) -> None:
    assert chosen(base) == "data-checkpoint"
    base.mkdir(parents=True)
    assert chosen(base) == "data-checkpoint"


def test_other_settings_get_a_folder_of_their_own(base: Path) -> None:
    begin(experiment_in(base))
    assert chosen(base) == "data-checkpoint", "goes on"
    assert chosen(base, speedup=2.0) == "data-checkpoint-2"
    begin(experiment_in(base.with_name("data-checkpoint-2"), speedup=2.0))
    assert chosen(base, speedup=2.0) == "data-checkpoint-2"
    assert chosen(base, speedup=3.0) == "data-checkpoint-3"
    assert chosen(base) == "data-checkpoint"


def test_the_limit_of_the_loss_can_be_raised_until_the_search_is_done(base: Path) -> None:
    begin(experiment_in(base, max_loss=1.0))
    assert chosen(base, max_loss=2.0) == "data-checkpoint-2", "only where the user names the folder"
    assert check_run_dir(experiment_in(base, max_loss=2.0), resume=True).path == base
    for settings in ({"max_loss": 0.5}, {}, {"max_loss": 2.0, "speedup": 2.0}):
        with pytest.raises(UserError, match="holds another run"):
            check_run_dir(experiment_in(base, **settings), resume=True)
    search = RunDir(base).phase(PHASES[1])
    search.path.mkdir()
    search.mark_done()
    with pytest.raises(UserError, match=r"holds another run \(max_loss: 1.0 there, 2.0 now\)"):
        check_run_dir(experiment_in(base, max_loss=2.0), resume=True)


def test_the_rest_of_the_experiment_stays(base: Path) -> None:
    begin(experiment_in(base))
    found = choose_folder(experiment_in(base, epochs=7))
    assert found == experiment_in(base.with_name("data-checkpoint-2"), epochs=7)


def test_a_run_that_never_began_gives_its_folder_up(base: Path) -> None:
    base.mkdir(parents=True)
    RunDir(base).config.write_text(experiment_in(base, epochs=9).to_json(), encoding="utf-8")
    assert chosen(base) == "data-checkpoint"


def test_folders_of_somebody_else_are_passed(base: Path) -> None:
    base.mkdir(parents=True)
    (base / "config.json").write_text('{"model_type": "bert"}')
    base.with_name("data-checkpoint-2").write_text("a file")
    assert chosen(base) == "data-checkpoint-3"


def test_without_training_only_runs_that_are_there_count(base: Path) -> None:
    begin(experiment_in(base))
    assert chosen(base, only_existing=True, speedup=2.0) == "data-checkpoint"
    begin(experiment_in(base.with_name("data-checkpoint-2"), speedup=2.0))
    assert chosen(base, only_existing=True, speedup=2.0) == "data-checkpoint-2"


def test_a_damaged_config_is_named(base: Path) -> None:
    begin(experiment_in(base))
    RunDir(base).config.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"data-checkpoint/config\.json, line 1: not valid JSON"):
        choose_folder(experiment_in(base))


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("somewhere/tiny/model", "tiny"),
        ("somewhere/uncased_L-12/bert_model.ckpt", "uncased_L-12"),
        ("hf://owner/name", "name"),
        ("somewhere/minilm/", "minilm"),
    ],
)
def test_the_name_tells_the_checkpoint(checkpoint: str, name: str) -> None:
    experiment = resolve_experiment({"checkpoint_path": checkpoint, "data_dir": "data/CoLA"})
    assert Path(experiment.output_dir).name == f"data-CoLA-{name}"
