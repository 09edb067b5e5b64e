"""Turns at the cores: one at a time, unless one lasts too long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from power_bert_runtime.serving.computing_turns import ComputingTurns


def test_one_computes_at_a_time() -> None:
    turns, running, most = ComputingTurns(longest_s=60), [], []

    def compute(number: int) -> None:
        with turns.turn():
            running.append(number)
            most.append(len(running))
            time.sleep(0.002)
            running.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(compute, range(40)))
    assert most == [1] * 40


def test_who_takes_too_long_is_not_waited_for() -> None:
    turns, release = ComputingTurns(longest_s=0.2), threading.Event()

    def hang() -> None:
        with turns.turn():
            assert release.wait(20)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(hang)
        while turns._current is None:
            time.sleep(0.001)
        start = time.monotonic()
        with turns.turn():
            assert 0.1 < time.monotonic() - start < 10
            release.set()
            hanging.result()
            # The end of the late one does not end the turn of the next.
            assert turns._current is not None
        start = time.monotonic()
        with turns.turn():
            assert time.monotonic() - start < 0.15


def test_a_failure_ends_the_turn() -> None:
    turns = ComputingTurns(longest_s=60)
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        pass
