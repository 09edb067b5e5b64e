"""Programs that are timed in turns: who is asked when, and what is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from power_bert.benchmarks.turns import Measured, _turns, measure_in_turns, worker
from power_bert.errors import UserError

WORKLOADS = {"a": {"1 × 16": 1, "1 × 32": 1}, "b": {"1 × 16": 1, "32 × 16": 32}}


def telling(program: str, asked: list[tuple[str, str, int]]) -> Callable[[str, int], Any]:
    """A program that tells made-up milliseconds: 1000 in the first call of a turn, then 1, 2, 3 …"""

    def ask(name: str, times: int) -> Any:
        asked.append((program, name, times))
        return (program, WORKLOADS[program]) if name == "describe" else [1000.0, *np.arange(1.0, times)]

    return ask


def test_programs_alternate_and_the_first_call_of_a_turn_is_dropped() -> None:
    asked: list[tuple[str, str, int]] = []
    first, second = measure_in_turns([telling("a", asked), telling("b", asked)], runs=6, large_batch=32)
    turns = [(program, name) for program, name, _ in asked if name != "describe"]
    assert turns == [("a", "1 × 16"), ("b", "1 × 16")] * 2, "and only what both programs can run"
    times = {"1 × 16": [1.0, 2.0, 3.0, 4.0] * 2}
    assert (first, second) == (Measured("a", times, WORKLOADS["a"]), Measured("b", times, WORKLOADS["b"])), "rounded up"


@pytest.mark.parametrize(("runs", "is_large", "turns"), [(100, False, 25), (100, True, 2), (3, True, 1)])
def test_few_passes_over_all_texts(runs: int, is_large: bool, turns: int) -> None:
    assert _turns(runs, is_large) == turns


def end_at_once(connection: Any) -> None:
    connection.close()


def test_a_program_that_ends_is_named() -> None:
    with worker("model.xyz", end_at_once) as ask, pytest.raises(UserError, match=r"model\.xyz: cannot be run"):
        ask("describe", 0)
