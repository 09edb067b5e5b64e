"""Tests of power_bert.pretrain.progress: what is shown of a pre-training, and where it stops."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from power_bert.errors import UserError
from power_bert.pretrain import progress as module
from power_bert.pretrain.progress import PretrainingProgress


class Reported:
    """A reporter that keeps what it is told; its bar is not shown."""

    def __init__(self) -> None:
        self.console = Console(file=io.StringIO(), width=200)
        self.scalars: list[tuple[str, float, int]] = []
        self.updates: list[dict[str, Any]] = []
        self.started = self.stopped = 0

    def step_progress_bar(self) -> Any:
        def update(task: int, **fields: Any) -> None:
            self.updates.append(fields)

        def start() -> None:
            self.started += 1

        def stop() -> None:
            self.stopped += 1

        return SimpleNamespace(disable=True, add_task=lambda *_, **__: 0, update=update, start=start, stop=stop)

    def scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    @property
    def printed(self) -> str:
        return self.console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands until it is moved."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def reported() -> Reported:
    return Reported()


def make(reported: Reported, first: int = 0, total: int = 40, interval: int = 20) -> PretrainingProgress:
    batches = SimpleNamespace(waited_seconds=0.0)
    callback = PretrainingProgress(reported, batches, 100, first, total, interval)  # type: ignore[arg-type]
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    return callback


def test_the_loss_of_the_last_updates_from_the_means_of_the_interval(reported: Reported, clock: Any) -> None:
    callback = make(reported)
    callback.on_epoch_begin(0)
    for mean in [3.0] * 9 + [4.0] + [0.0] * 9 + [3.0]:
        clock.now += 1
        callback.on_train_batch_end(0, {"loss": mean})
    # The first ten updates have the mean 4; all twenty have 3, so the last ten have 2.
    assert reported.scalars == [("pretrain/loss", 4.0, 10), ("pretrain/loss", 2.0, 20)]
    callback.on_epoch_begin(1)
    for _ in range(10):
        callback.on_train_batch_end(0, {"loss": 7.0})
    assert reported.scalars[-1] == ("pretrain/loss", 7.0, 30)


def test_speed_and_waiting_do_not_count_the_first_update_which_compiles(reported: Reported, clock: Any) -> None:
    callback = make(reported)
    callback.on_epoch_begin(0)
    clock.now += 60
    callback.on_train_batch_end(0, {"loss": 1.0})
    for _ in range(9):
        clock.now += 0.5
        callback.batches.waited_seconds += 0.125  # type: ignore[misc]
        callback.on_train_batch_end(0, {"loss": 1.0})
    assert reported.updates[-1]["completed"] == 10
    assert "loss 1.0000  200 tokens/s  25.0% waiting for data" in reported.updates[-1]["details"]


def test_a_line_now_and_then_where_there_is_no_bar(reported: Reported, clock: Any) -> None:
    callback = make(reported)
    callback.on_epoch_begin(0)
    for _ in range(20):
        clock.now += 1
        callback.on_train_batch_end(0, {"loss": 1.5})
    assert reported.printed.startswith("20/40  loss 1.5000") and reported.printed.endswith("left 20 s\n")
    assert reported.printed.count("\n") == 1, "the tenth update came within 15 seconds"


def test_it_stops_after_the_last_update(reported: Reported, clock: Any) -> None:
    callback = make(reported, first=37)
    callback.on_epoch_begin(0)
    stops = []
    for _ in range(3):
        clock.now += 1
        callback.on_train_batch_end(0, {"loss": 1.0})
        stops.append(callback.model.stop_training)
    assert stops == [False, False, True]
    callback.on_train_end()
    assert (reported.started, reported.stopped) == (1, 1)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(loss: float, reported: Reported, clock: Any) -> None:
    callback = make(reported)
    callback.on_epoch_begin(0)
    for _ in range(9):
        callback.on_train_batch_end(0, {"loss": loss})
    with pytest.raises(UserError, match=rf"the loss became {loss} before training step 10\..*smaller --learning-rate"):
        callback.on_train_batch_end(0, {"loss": loss})
    assert reported.stopped == 1
