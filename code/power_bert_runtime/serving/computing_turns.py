"""Turns of the models at the cores, each of which would use all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class ComputingTurns:
    """One model computes at a time, except beside one whose turn lasts too long, such as a process that hangs.

    Args:
        longest_s: Time after which the next model no longer waits, in seconds.
    """

    def __init__(self, longest_s: float = 1.0) -> None:
        self._longest_s = longest_s
        self._changed = Condition()
        self._current: object | None = None
        self._ends_at = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, which the block takes."""
        mine = object()
        with self._changed:
            while self._current is not None and (left := self._ends_at - time.monotonic()) > 0:
                self._changed.wait(left)
            self._current, self._ends_at = mine, time.monotonic() + self._longest_s
        try:
            yield
        finally:
            with self._changed:
                if self._current is mine:
                    self._current = None
                    self._changed.notify()
