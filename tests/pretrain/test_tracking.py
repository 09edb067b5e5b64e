"""Tests of power_bert.pretrain.tracking: Weights & Biases, when asked for."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings
from power_bert.errors import UserError
from power_bert.pretrain.run_pretraining import pretrain

Settings = Callable[..., PretrainingSettings]


class FakeRun:
    def __init__(self, **options: Any) -> None:
        self.options, self.logged, self.is_finished = options, list[tuple[int, dict[str, float]]](), False

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.is_finished = True


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    """The runs that were started with a stand-in for the package."""
    started: list[FakeRun] = []
    module = types.ModuleType("wandb")
    module.errors = types.SimpleNamespace(Error=type("Error", (Exception,), {}))  # type: ignore[attr-defined]

    def init(**options: Any) -> FakeRun:
        if options["project"] == "forbidden":
            raise module.errors.Error("not logged in")
        started.append(FakeRun(**options))
        return started[-1]

    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return started


@pytest.mark.slow
def test_figures_are_reported(runs: list[FakeRun], make_settings: Settings, tmp_path: Path, console: Console) -> None:
    pretrain(make_settings(), tmp_path / "out", console, wandb="project")
    (run,) = runs
    assert run.options["project"] == "project" and run.options["name"] == "out" and run.options["resume"] == "allow"
    assert run.options["config"]["hidden"] == 12
    assert [step for step, _ in run.logged] == [4, 8, 10] and {"perplexity", "test_loss"} <= set(run.logged[0][1])
    assert run.is_finished
    assert run.options["id"] == (tmp_path / "out" / "wandb_id.txt").read_text()


def test_not_installed(
    make_settings: Settings, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="EXTRAS=wandb bash run"):
        pretrain(make_settings(), tmp_path / "out", console, wandb="project")


def test_cannot_be_started(runs: list[FakeRun], make_settings: Settings, tmp_path: Path, console: Console) -> None:
    with pytest.raises(UserError, match=r"--wandb forbidden: not logged in.*WANDB_MODE=offline"):
        pretrain(make_settings(), tmp_path / "out", console, wandb="forbidden")
    assert runs == []
