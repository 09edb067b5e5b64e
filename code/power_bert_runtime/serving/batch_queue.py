"""Queue of a model that computes the examples of several requests together."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.serving.request_errors import overloaded, timed_out, too_large
from power_bert_runtime.serving.server_settings import ServerSettings

# Called after each batch with its number of examples, its number of tokens and the seconds that it took.
Observer = Callable[[int, int, float], None]


@dataclass(eq=False)
class _Waiting:
    """An example in the queue: a row of the encoded texts of its request."""

    encoded: EncodedTexts
    row: int
    future: asyncio.Future[np.ndarray]
    arrived: float = field(default_factory=time.monotonic)

    @property
    def length(self) -> int:
        return int(self.encoded.lengths[self.row])


class BatchQueue:
    """Queue of one model.

    A batch consists of the oldest example and those whose lengths are nearest to its length, so that little is padded
    and no example waits forever.

    Args:
        run: Function from encoded texts to outputs, (examples, outputs), called in `executor`.
        executor: Where batches are computed; shared by all models, so that they do not take each other's cores.
        settings: Size of a batch, time window, length of the queue and timeout.
        observe: Called after each batch.
    """

    def __init__(
        self,
        run: Callable[[EncodedTexts], np.ndarray],
        executor: Executor,
        settings: ServerSettings,
        observe: Observer,
    ) -> None:
        self._run, self._executor, self._settings, self._observe = run, executor, settings, observe
        self._waiting: list[_Waiting] = []
        self._changed = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Start computing, in the running event loop."""
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop computing; requests that still wait are not answered."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    async def outputs(self, encoded: EncodedTexts) -> np.ndarray:
        """Return the outputs of the examples of one request, (examples, outputs).

        Raises:
            RequestError: The queue is full or too small for the request, or the time is over.
        """
        if len(encoded) > self._settings.max_queue:
            raise too_large(
                f"{len(encoded)} texts; the queue has room for {self._settings.max_queue}. Send several requests"
            )
        room = self._settings.max_queue - len(self._waiting)
        if len(encoded) > room:
            raise overloaded(
                f"{len(self._waiting)} texts are waiting, and the queue has room for {self._settings.max_queue}; "
                "send the request again later"
            )
        loop = asyncio.get_running_loop()
        mine = [_Waiting(encoded, row, loop.create_future()) for row in range(len(encoded))]
        self._waiting += mine
        self._changed.set()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return np.stack(await asyncio.gather(*(each.future for each in mine)))
        except BaseException as error:
            # What still waits of a request that has failed, or whose client has gone, is not computed.
            for each in mine:
                each.future.cancel()
            self._waiting = [each for each in self._waiting if not each.future.done()]
            if isinstance(error, TimeoutError):
                raise timed_out(
                    f"not answered within {self._settings.timeout_s:g} s; send fewer or shorter texts, or try again "
                    "later"
                ) from None
            raise

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            start = time.perf_counter()
            encoded = EncodedTexts.from_rows(
                [each.encoded.token_ids[each.row] for each in batch],
                [int(each.encoded.first_lengths[each.row]) for each in batch],
                batch[0].encoded.pad_id,
            )
            try:
                outputs = await loop.run_in_executor(self._executor, self._run, encoded)
                if len(outputs) != len(batch):
                    raise ValueError(f"{len(outputs)} rows of outputs for {len(batch)} examples")
            except Exception as error:
                for each in batch:
                    if not each.future.done():
                        each.future.set_exception(error)
                continue
            self._observe(len(batch), len(encoded.ids), time.perf_counter() - start)
            for each, output in zip(batch, outputs, strict=True):
                if not each.future.done():
                    each.future.set_result(output)

    async def _next_batch(self) -> list[_Waiting]:
        """Wait for examples, at most for the time window once there is one, and take a batch from the queue."""
        while True:
            self._changed.clear()
            if not self._waiting:
                await self._changed.wait()
                continue
            oldest = self._waiting[0]
            left = oldest.arrived + 1e-3 * self._settings.window_ms - time.monotonic()
            if left <= 0 or len(self._waiting) >= self._settings.batch_size:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        batch = heapq.nsmallest(
            self._settings.batch_size, self._waiting, key=lambda each: abs(each.length - oldest.length)
        )
        taken = set(map(id, batch))
        self._waiting = [each for each in self._waiting if id(each) not in taken]
        return batch
