"""Console, log file, TensorBoard and progress bar of a running training."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from power_bert.errors import UserError

# Without a terminal a progress line is printed at most this often, in seconds.
_SECONDS_BETWEEN_LINES = 15.0
_STEPS_BETWEEN_SCALARS = 10


class Reporter:
    """Reporter that writes to the console, a log file and TensorBoard; use as a context manager."""

    def __init__(self, log_path: Path, tensorboard_dir: Path, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._log_path, self._tensorboard_dir = log_path, tensorboard_dir
        self._stack = ExitStack()

    def __enter__(self) -> Reporter:
        from tensorboard.summary import Writer

        handler = logging.FileHandler(self._log_path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
        self._logger = logging.Logger("power_bert")
        self._logger.addHandler(handler)
        self._stack.callback(handler.close)
        self._writer = Writer(str(self._tensorboard_dir))
        self._stack.callback(self._writer.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._logger.info("stopped: %s %s", type(error).__name__, error)
        self._stack.close()

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)
        self.log(text)

    def log(self, text: str) -> None:
        """Write a line to the log file only."""
        self._logger.info(text)

    def step_progress_bar(self) -> Progress:
        """Create a progress bar, not yet started, with a field `details`; disabled without a terminal.

        It is removed with the reporter at the latest, so that an error or Ctrl-C does not leave it on the screen.
        """
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[details]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._stack.callback(bar.live.stop)
        return bar

    @contextmanager
    def counted(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Show the progress of work in `total` parts; yields a function to call after each part."""
        bar, last_line, done = self.step_progress_bar(), time.monotonic(), 0
        task = bar.add_task(title, total=total, details="")

        def advance() -> None:
            nonlocal last_line, done
            done += 1
            bar.advance(task)
            if bar.disable and time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                self.console.print(f"{title}  {done}/{total}", markup=False)

        bar.start()
        yield advance
        bar.stop()

    def scalar(self, tag: str, value: float, step: int) -> None:
        if math.isfinite(value):
            self._writer.add_scalar(tag, value, step)


class TrainingProgress(keras.callbacks.Callback):
    """Progress bar of a phase with loss, last dev score and time left; without a terminal, a line every few seconds.

    Args:
        reporter: Reporter that shows the progress.
        title: Title of the phase.
        steps_per_epoch: Training steps per epoch.
        epochs: Number of epochs of the phase.
        status: Function that returns further text, such as the kept fractions; called every few training steps.
    """

    def __init__(
        self, reporter: Reporter, title: str, steps_per_epoch: int, epochs: int, status: Callable[[], str] | None = None
    ) -> None:
        super().__init__()
        self.reporter, self.title = reporter, title
        self.steps_per_epoch, self.epochs, self.status = steps_per_epoch, epochs, status
        self.score_text = ""
        self._epoch = 0
        self._last_line = self._started = time.monotonic()
        self._first_epoch: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        if self._first_epoch is None:
            self._first_epoch, self._started = epoch, time.monotonic()
        self._bar = self.reporter.step_progress_bar()
        total = self.epochs * self.steps_per_epoch
        self._task = self._bar.add_task(self.title, total=total, completed=epoch * self.steps_per_epoch, details="")
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", math.nan))
        done = self._epoch * self.steps_per_epoch + batch + 1
        if not math.isfinite(loss):
            self._bar.stop()
            raise UserError(
                f"{self.title}: the loss became {loss} at training step {done}. Nothing finished is lost. "
                "Try a smaller LR_BERT or LR_SOFT_EXTRACT, with another OUTPUT_DIR or with RESUME=0, which sets this "
                "run aside."
            )
        line_due = not self._bar.disable or time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES
        if batch % _STEPS_BETWEEN_SCALARS == 0 or line_due:
            self._show(done, loss, batch)

    def _show(self, done: int, loss: float, batch: int) -> None:
        details = f"epoch {self._epoch + 1}/{self.epochs}  loss {loss:.4f}{self.score_text}"
        if batch % _STEPS_BETWEEN_SCALARS == 0:
            self.reporter.scalar(f"{self.title}/loss", loss, done)
            self._status_text = f"  {self._current_status()}" if self.status else ""
        self._bar.update(self._task, completed=done, details=details + self._status_text)
        if self._bar.disable and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            steps_here = done - (self._first_epoch or 0) * self.steps_per_epoch
            left = (time.monotonic() - self._started) / steps_here * (self.epochs * self.steps_per_epoch - done)
            self.reporter.console.print(
                f"{self.title}  {done}/{self.epochs * self.steps_per_epoch}  {details}{self._status_text}  "
                f"left {left:.0f} s",
                markup=False,
            )

    def _current_status(self) -> str:
        # On JAX the variables live outside the model while fit runs.
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        return self.status() if self.status else ""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.stop()
