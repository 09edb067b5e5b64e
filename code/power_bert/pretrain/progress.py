"""Progress display of a pre-training: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from power_bert.errors import UserError
from power_bert.pretrain.prefetch import Prefetcher
from power_bert.train.reporting import Reporter

_SECONDS_BETWEEN_LINES = 15.0
# Reading the loss waits for the device, so it is not read at every training step.
_STEPS_BETWEEN_READINGS = 10


class PretrainingProgress(keras.callbacks.Callback):
    """Callback that shows training steps, loss, throughput (tokens/s) and the fraction of time spent waiting for data.

    It stops the training after the last training step, and raises a UserError if the loss is not finite.

    Args:
        reporter: Reporter that shows the progress.
        batches: Prefetcher, which measures how long training waits for batches.
        tokens_per_step: Tokens per batch.
        first: Number of training steps already done.
        total: Number of training steps of the whole training.
        interval: Number of training steps per Keras epoch, over which Keras averages the loss.
    """

    def __init__(
        self,
        reporter: Reporter,
        batches: Prefetcher[Any],
        tokens_per_step: int,
        first: int,
        total: int,
        interval: int,
    ) -> None:
        super().__init__()
        self.reporter, self.batches, self.tokens_per_step = reporter, batches, tokens_per_step
        self.done, self.total, self.interval = first, total, interval
        self.score_text = ""
        self._read_at, self._read_sum = (
            0,
            0.0,
        )  # step within the interval, and loss summed up to it, at the last reading

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._bar = self.reporter.step_progress_bar()
        self._task = self._bar.add_task("pre-training", total=self.total, completed=self.done, details="")
        self._bar.start()
        self._first, self._last_line = self.done, time.monotonic()
        self._started: float | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._read_at, self._read_sum = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.done += 1
        if self._started is None:  # the first training step compiles
            self._started, self._first, self._waited = time.monotonic(), self.done, self.batches.waited_seconds
        in_interval = (self.done - 1) % self.interval + 1
        if in_interval % _STEPS_BETWEEN_READINGS == 0 or self.done == self.total:
            self._show(in_interval, float((logs or {})["loss"]))
        if self.done == self.total:
            self.model.stop_training = True

    def _show(self, in_interval: int, mean_loss: float) -> None:
        """Show the progress; `mean_loss` is the mean over the first `in_interval` steps of the interval."""
        if not math.isfinite(mean_loss):
            self._bar.stop()
            raise UserError(
                f"the loss became {mean_loss} before training step {self.done}. The state of the last evaluation is "
                "kept. Try a smaller --learning-rate or a smaller --clip-norm, with another --out"
            )
        loss = (mean_loss * in_interval - self._read_sum) / (in_interval - self._read_at)
        self._read_at, self._read_sum = in_interval, mean_loss * in_interval
        self.reporter.scalar("pretrain/loss", loss, self.done)
        seconds = time.monotonic() - (self._started or 0.0)
        steps = self.done - self._first
        speed = steps * self.tokens_per_step / seconds if steps else 0.0
        waiting = (self.batches.waited_seconds - self._waited) / seconds if steps else 0.0
        details = f"loss {loss:.4f}  {speed:,.0f} tokens/s  {waiting:.1%} waiting for data{self.score_text}"
        self._bar.update(self._task, completed=self.done, details=details)
        if self._bar.disable and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            left = seconds / max(steps, 1) * (self.total - self.done)
            self.reporter.console.print(f"{self.done}/{self.total}  {details}  left {left:.0f} s", markup=False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._bar.stop()
