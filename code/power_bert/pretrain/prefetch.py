"""Prefetch batches in a thread while the model trains, and measure how long training waits for them."""

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
    """Iterator that prefetches items in a thread. Use it as a context manager, which ends the thread.

    Args:
        source: Function that returns an iterator from the first item on. The iterator runs in the thread, and `take`
            raises its exceptions.
        ahead: Number of items that are kept ready.

    Attributes:
        waited_seconds: Time that `take` has waited, in seconds.
        working_seconds: CPU time of the thread, in seconds.
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
            # The error of the source is clearer than the one that the backend made of it.
            raise source_error from None

    def start(self) -> None:
        """Start from the first item, even if items have been taken already."""
        self._stop()
        self._worker = _Worker(self._source(), self._ahead)
        self._worker.thread.start()

    def take(self) -> Item:
        """Return the next item.

        Raises:
            StopIteration: There are no more items.
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
    """Thread of one pass over the items."""

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
    """Marker in the queue that the items have ended or failed."""
