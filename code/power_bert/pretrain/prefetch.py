"""Batches made ready by a thread while the model trains, and how long training waited for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Takes items from a source some ahead of their use; use as a context manager, which ends the thread.

    Args:
        source: Starts from the first item; called in the thread, and an exception in it is raised by `take`.
        ahead: Items that are kept ready.

    Attributes:
        waited_seconds: Time that `take` has spent waiting.
        working_seconds: Processor time that the thread has spent.
    """

    def __init__(self, source: Callable[[], Iterator[Item]], ahead: int = 3) -> None:
        self._source, self._ahead = source, ahead
        self._worker: _Worker[Item] | None = None
        self.waited_seconds = self._earlier_working_seconds = 0.0

    def __enter__(self) -> Prefetcher[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        source_error = None if self._worker is None else self._worker.error
        self._stop()
        if error is not None and source_error is not None:
            # What the source says is wrong is clearer than what the backend made of it on the way.
            raise source_error from None

    def start(self) -> None:
        """From the first item on, also if items have been taken already."""
        self._stop()
        self._worker = _Worker(self._source(), self._ahead)
        self._worker.thread.start()

    def take(self) -> Item:
        """The next item.

        Raises:
            StopIteration: There are no more.
        """
        if self._worker is None:
            raise ValueError("the prefetcher has not been started")
        started = time.perf_counter()
        item = self._worker.ready.get()
        self.waited_seconds += time.perf_counter() - started
        if isinstance(item, _End):
            self._worker.ready.put(item)  # for the next call
            raise self._worker.error or StopIteration
        return item

    @property
    def working_seconds(self) -> float:
        return self._earlier_working_seconds + (self._worker.working_seconds if self._worker else 0.0)

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.is_stopped.set()
            self._worker.thread.join()
            self._earlier_working_seconds = self.working_seconds
            self._worker = None


class _Worker(Generic[Item]):
    """The thread of one pass over the items."""

    def __init__(self, items: Iterator[Item], ahead: int) -> None:
        self._items = items
        self.ready: queue.Queue[Item | _End] = queue.Queue(ahead)
        self.is_stopped = threading.Event()
        self.error: BaseException | None = None
        self.working_seconds = 0.0
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                self.working_seconds = time.thread_time()
                if self.is_stopped.is_set():
                    return
        except BaseException as error:
            self.error = error
        self._put(_End())

    def _put(self, item: Item | _End) -> None:
        while not self.is_stopped.is_set():
            with suppress(queue.Full):
                self.ready.put(item, timeout=0.1)
                return


class _End:
    """The items have ended, or failed."""
