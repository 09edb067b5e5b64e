"""Tests of power_bert.pretrain.prefetch."""

import threading
import time
from collections.abc import Iterator

import pytest

from power_bert.errors import UserError
from power_bert.pretrain.prefetch import Prefetcher


def test_order_and_end() -> None:
    with Prefetcher(lambda: iter(range(10))) as items:
        items.start()
        assert [items.take() for _ in range(10)] == list(range(10))
        for _ in range(2):
            with pytest.raises(StopIteration):
                items.take()


def test_a_few_ahead_and_no_more() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with Prefetcher(source, ahead=2) as items:
        items.start()
        assert items.take() == 0
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(made) == 4  # one taken, two ready, one in hand
    assert threading.active_count() == 1 or made[-1] < 10


def test_from_the_start_again() -> None:
    with Prefetcher(lambda: iter(range(10))) as items:
        items.start()
        assert [items.take(), items.take()] == [0, 1]
        items.start()
        assert [items.take(), items.take()] == [0, 1]


def test_waiting_is_counted() -> None:
    def slow() -> Iterator[int]:
        time.sleep(0.2)
        yield 1

    with Prefetcher(slow) as items:
        items.start()
        items.take()
        assert items.waited_seconds > 0.1 > items.working_seconds


def failing() -> Iterator[int]:
    yield 1
    raise UserError("the shard is corrupt")


def test_an_error_of_the_source() -> None:
    with pytest.raises(UserError, match="corrupt"), Prefetcher(failing) as items:
        items.start()
        assert items.take() == 1
        items.take()


def test_an_error_of_the_source_replaces_what_a_backend_made_of_it() -> None:
    with pytest.raises(UserError, match="corrupt"), Prefetcher(failing) as items:
        items.start()
        items.take()
        try:
            items.take()
        except UserError as error:
            raise RuntimeError("UnknownError in a graph") from error


def test_other_errors_stay() -> None:
    with pytest.raises(KeyboardInterrupt), Prefetcher(lambda: iter(range(10**9))) as items:
        items.start()
        raise KeyboardInterrupt


def test_not_started() -> None:
    with Prefetcher(lambda: iter([1])) as items, pytest.raises(ValueError, match="not been started"):
        items.take()
