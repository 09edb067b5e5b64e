"""The queue of a model: what is computed together, in which order, and what becomes of what is not computed."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.waiting import until
from mutations import mutation_settings
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.serving.batch_queue import BatchQueue
from power_bert_runtime.serving.request_errors import RequestError
from power_bert_runtime.serving.server_settings import ServerSettings


class Model:
    """Answers the sum of the ids and the length of each example; `allowed` holds it back."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.observed: list[tuple[int, int]] = []
        self.allowed, self.is_running = threading.Event(), threading.Event()
        self.allowed.set()
        self.errors: list[Exception] = []

    def run(self, encoded: EncodedTexts) -> np.ndarray:
        self.is_running.set()
        assert self.allowed.wait(10)
        self.batches.append(encoded.lengths.tolist())
        if self.errors:
            raise self.errors.pop()
        return np.array([[ids.sum(), len(ids)] for ids in encoded.token_ids], np.float32)

    def observe(self, examples: int, tokens: int, seconds: float) -> None:
        assert seconds >= 0
        self.observed.append((examples, tokens))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def encode(lengths: Sequence[int], start: int = 0) -> EncodedTexts:
    rows = [range(start, start + length) for length in lengths]
    return EncodedTexts.from_rows([list(row) for row in rows], list(lengths))


def answers(lengths: Sequence[int], start: int = 0) -> list[list[int]]:
    return [[sum(range(start, start + length)), length] for length in lengths]


def with_queue(
    model: Model,
    executor: ThreadPoolExecutor,
    use: Callable[[BatchQueue], Coroutine[Any, Any, Any]],
    **settings: Any,
) -> Any:
    """Call `use` with a queue that runs, and return what it returns."""

    async def run() -> Any:
        queue = BatchQueue(model.run, executor, ServerSettings(**settings), model.observe)
        queue.start()
        try:
            return await asyncio.wait_for(use(queue), 20)
        finally:
            model.allowed.set()
            await queue.stop()

    return asyncio.run(run())


async def hold(model: Model, queue: BatchQueue) -> asyncio.Task[np.ndarray]:
    """Let the model compute a first example, which takes until `allowed` is set."""
    model.allowed.clear()
    first = asyncio.create_task(queue.outputs(encode([1])))
    await until(model.is_running.is_set)
    return first


@mutation_settings
@given(
    st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=8),
    st.integers(1, 9),
)
def test_every_request_gets_its_own_answers_in_their_order(requests: list[list[int]], batch_size: int) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> list[np.ndarray]:
        asked = [queue.outputs(encode(lengths, start)) for start, lengths in enumerate(requests)]
        return list(await asyncio.gather(*asked))

    with ThreadPoolExecutor(1) as executor:
        found = with_queue(model, executor, ask, batch_size=batch_size, window_ms=0)
    for start, (lengths, outputs) in enumerate(zip(requests, found, strict=True)):
        assert outputs.tolist() == answers(lengths, start)
    assert sorted(chain.from_iterable(model.batches)) == sorted(chain.from_iterable(requests))
    assert max(map(len, model.batches)) <= batch_size
    assert model.observed == [(len(batch), sum(batch)) for batch in model.batches]


def test_a_batch_is_the_oldest_example_and_the_nearest_in_length(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        first = await hold(model, queue)
        rest = asyncio.create_task(queue.outputs(encode([20, 3, 19, 4, 22, 5, 1])))
        await until(lambda: len(queue) == 7)
        model.allowed.set()
        assert (await rest).tolist() == answers([20, 3, 19, 4, 22, 5, 1])
        await first

    with_queue(model, executor, ask, batch_size=3, window_ms=0)
    assert [sorted(batch) for batch in model.batches] == [[1], [19, 20, 22], [3, 4, 5], [1]]


def test_segments_and_padding_id_reach_the_model(executor: ThreadPoolExecutor) -> None:
    seen: list[EncodedTexts] = []

    def run(encoded: EncodedTexts) -> np.ndarray:
        seen.append(encoded)
        return np.zeros((len(encoded), 1), np.float32)

    async def ask() -> None:
        queue = BatchQueue(run, executor, ServerSettings(window_ms=0), lambda *counts: None)
        queue.start()
        await queue.outputs(EncodedTexts.from_rows([[2, 7, 3, 8, 3], [2, 3, 3]], [3, 2], pad_id=9))
        await queue.stop()

    asyncio.run(ask())
    (encoded,) = seen
    assert encoded.pad_id == 9
    assert [each.tolist() for each in encoded.segment_ids] == [[0, 0, 0, 1, 1], [0, 0, 1]]


def test_a_full_batch_does_not_wait_for_its_window(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        assert len(await queue.outputs(encode([1, 2, 3]))) == 3

    # With a window longer than the whole test may take.
    with_queue(model, executor, ask, batch_size=3, window_ms=60_000)
    assert model.batches == [[1, 2, 3]]


def test_requests_within_the_window_are_computed_together(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        one = asyncio.create_task(queue.outputs(encode([4])))
        await until(lambda: len(queue) == 1)
        await asyncio.sleep(0)  # the worker waits for others now
        two = queue.outputs(encode([4], start=7))
        assert [each.tolist() for each in await asyncio.gather(one, two)] == [answers([4]), answers([4], 7)]

    with_queue(model, executor, ask, batch_size=2, window_ms=60_000)
    assert model.batches == [[4, 4]]


@pytest.mark.parametrize(("asked", "is_refused"), [(3, False), (4, True)])
def test_the_queue_takes_what_it_has_room_for(executor: ThreadPoolExecutor, asked: int, is_refused: bool) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        first = await hold(model, queue)
        waiting = asyncio.create_task(queue.outputs(encode([2, 2])))
        await until(lambda: len(queue) == 2)
        more = asyncio.create_task(queue.outputs(encode([2] * asked)))
        await asyncio.sleep(0.01)
        assert len(queue) == (2 if is_refused else 5)
        model.allowed.set()
        if is_refused:
            with pytest.raises(RequestError) as raised:
                await more
            assert (raised.value.status_code, raised.value.kind) == (429, "overloaded")
            assert "2 texts are waiting, and the queue has room for 5; send the request again" in raised.value.detail
            assert raised.value.headers == {"Retry-After": "1"}
        else:
            assert len(await more) == asked
        assert len(await waiting) == 2 and len(await first) == 1

    with_queue(model, executor, ask, max_queue=5, window_ms=0)
    assert sum(map(len, model.batches)) == 3 + (0 if is_refused else asked)


def test_what_is_late_leaves_the_queue_and_others_stay(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        first = await hold(model, queue)
        late = asyncio.create_task(queue.outputs(encode([2, 3])))
        with pytest.raises(RequestError) as raised:
            await late
        assert (raised.value.status_code, raised.value.kind) == (504, "timeout")
        assert "not answered within 0.5 s; send fewer or shorter texts" in raised.value.detail
        assert len(queue) == 0
        with pytest.raises(RequestError, match="504"):
            await first
        again = asyncio.create_task(queue.outputs(encode([7])))
        await until(lambda: len(queue) == 1)
        model.allowed.set()
        assert (await again).tolist() == answers([7])

    with_queue(model, executor, ask, timeout_s=0.5, window_ms=0)
    assert model.batches == [[1], [7]], "what was late is not computed"


def test_what_a_client_that_has_gone_asked_for_is_not_computed(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        first = await hold(model, queue)
        gone = asyncio.create_task(queue.outputs(encode([2, 3])))
        stays = asyncio.create_task(queue.outputs(encode([4])))
        await until(lambda: len(queue) == 3)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert len(queue) == 1
        first.cancel()  # it is being computed; its result is dropped
        model.allowed.set()
        assert (await stays).tolist() == answers([4])

    with_queue(model, executor, ask, window_ms=0)
    assert model.batches == [[1], [4]]


def test_a_failing_batch_fails_its_requests_alone(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        first = await hold(model, queue)
        model.errors = [ZeroDivisionError("boom")]
        rest = [asyncio.create_task(queue.outputs(encode([length] * 2))) for length in (2, 3)]
        await until(lambda: len(queue) == 4)
        model.allowed.set()
        with pytest.raises(ZeroDivisionError, match="boom"):
            await first
        assert [(await each).tolist() for each in rest] == [answers([2, 2]), answers([3, 3])]

    with_queue(model, executor, ask, window_ms=0)
    assert model.observed == [(4, 10)], "a batch that failed is not counted"


def test_a_request_of_which_one_batch_fails_leaves_nothing_behind(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def ask(queue: BatchQueue) -> None:
        first = await hold(model, queue)
        large = asyncio.create_task(queue.outputs(encode([2] * 6)))
        await until(lambda: len(queue) == 6)
        model.allowed.set()
        await first
        model.errors = [ZeroDivisionError("boom")]
        with pytest.raises(ZeroDivisionError):
            await large
        assert len(queue) == 0
        assert (await queue.outputs(encode([5]))).tolist() == answers([5])

    with_queue(model, executor, ask, batch_size=2, window_ms=0)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_model_that_answers_with_another_number_of_rows_fails_its_request_and_not_the_queue(
    executor: ThreadPoolExecutor, rows: int
) -> None:
    wrong = [np.zeros((rows, 1), np.float32)]

    async def ask() -> None:
        run: Callable[[EncodedTexts], np.ndarray] = lambda encoded: (  # noqa: E731
            wrong.pop() if wrong else encoded.lengths[:, None].astype(np.float32)
        )
        queue = BatchQueue(run, executor, ServerSettings(window_ms=0, timeout_s=2), lambda *counts: None)
        queue.start()
        with pytest.raises(ValueError, match=f"{rows} rows of outputs for 2 examples"):
            await queue.outputs(encode([1, 2]))
        assert (await queue.outputs(encode([5]))).tolist() == [[5.0]]
        await queue.stop()

    asyncio.run(ask())


def test_two_queues_share_one_executor(executor: ThreadPoolExecutor) -> None:
    models = [Model(), Model()]
    running = threading.Lock()

    def alone(model: Model) -> Callable[[EncodedTexts], np.ndarray]:
        def run(encoded: EncodedTexts) -> np.ndarray:
            assert running.acquire(blocking=False), "two models compute at a time"
            try:
                return model.run(encoded)
            finally:
                running.release()

        return run

    async def ask() -> None:
        settings = ServerSettings(batch_size=1, window_ms=0)
        queues = [BatchQueue(alone(model), executor, settings, model.observe) for model in models]
        for queue in queues:
            queue.start()
        asked = [queue.outputs(encode([2, 3, 4])) for queue in queues]
        assert [each.tolist() for each in await asyncio.gather(*asked)] == [answers([2, 3, 4])] * 2
        for queue in queues:
            await queue.stop()

    asyncio.run(ask())
    assert [model.batches for model in models] == [[[2], [3], [4]]] * 2


def test_a_queue_can_be_stopped_before_it_was_started(executor: ThreadPoolExecutor) -> None:
    model = Model()

    async def stop() -> int:
        queue = BatchQueue(model.run, executor, ServerSettings(), model.observe)
        await queue.stop()
        return len(queue)

    assert asyncio.run(stop()) == 0
