"""Time several programs in turns, each in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from rich.console import Console
from rich.progress import track

from power_bert.child_processes import start_child
from power_bert.errors import UserError

# Workloads of texts at their real lengths.
ONE_BY_ONE, BUCKETED, PADDED = "one by one", "bucketed", "padded"
DESCRIBE = "describe"  # asks a process for what it reports about itself, and for its workloads
_WARM_UP_RUNS = 3
_RUNS_A_TURN = 5
# In the first run of a turn the caches still hold the data of another process.
_DROPPED_A_TURN = 1
# A process that has not ended by itself after so long is killed.
_SECONDS_TO_END = 5
# Largest number of timed calls that run all texts.
_PASSES = 8

# Asks a process for the milliseconds of so many calls of a workload.
Worker = Callable[[str, int], Any]


@dataclass(frozen=True)
class Measured:
    """What a process has measured.

    Attributes:
        facts: What the program reports about itself.
        milliseconds: Workload → milliseconds of each call.
        examples: Workload → examples of a call.
    """

    facts: Any
    milliseconds: Mapping[str, Sequence[float]]
    examples: Mapping[str, int]


def measure_in_turns(workers: Sequence[Worker], runs: int, large_batch: int) -> list[Measured]:
    """Time programs in turns of a few calls each, so that other load on the machine affects all of them alike.

    Args:
        workers: Programs, as `worker` yields them.
        runs: Timed calls of each workload and program, rounded up to whole turns.
        large_batch: Calls of more examples than this are made at most `_PASSES` times.

    Raises:
        UserError: A program ended, or said why it cannot run.
    """
    described = [worker(DESCRIBE, 0) for worker in workers]
    examples = described[0][1]
    names = [name for name in examples if all(name in workloads for _, workloads in described)]
    milliseconds: list[dict[str, list[float]]] = [{name: [] for name in names} for _ in workers]
    turns = [name for name in names for _ in range(_turns(runs, examples[name] > large_batch))]
    console = Console(stderr=True)
    for name in track(turns, "measuring", console=console, transient=True, disable=not console.is_terminal):
        for worker, so_far in zip(workers, milliseconds, strict=True):
            so_far[name] += worker(name, _RUNS_A_TURN)[_DROPPED_A_TURN:]
    return [
        Measured(facts, measured, workloads)
        for (facts, workloads), measured in zip(described, milliseconds, strict=True)
    ]


def _turns(runs: int, runs_all_texts: bool) -> int:
    wanted = min(runs, _PASSES) if runs_all_texts else runs
    return -(-wanted // (_RUNS_A_TURN - _DROPPED_A_TURN))


@contextlib.contextmanager
def worker(source: Any, function: Callable[..., None], *arguments: Any) -> Iterator[Worker]:
    """Start a process that answers with `answer_turns`, and yield a function that asks it.

    Each program runs in its own process, because the waiting threads of one runtime would slow the next one down.

    Args:
        source: What the process runs, for messages.
        function: Function of a module, which the process calls with the arguments and its end of the pipe.
        arguments: Arguments of the function, which are pickled.
    """
    child = start_child(function, *arguments)

    def ask(name: str, times: int) -> Any:
        try:
            child.connection.send((name, times))
            answer = child.connection.recv()
        except (EOFError, ConnectionError):
            raise UserError(f"{source}: cannot be run (what its runtime said is above)") from None
        if isinstance(answer, UserError):
            raise answer
        return answer

    try:
        yield ask
    finally:
        child.connection.close()
        child.process.join(_SECONDS_TO_END)
        child.process.kill()
        child.process.join()


def answer_turns(
    connection: Connection, facts: Any, workloads: Mapping[str, tuple[int, Sequence[Callable[[], Any]]]]
) -> None:
    """Answer each request with the milliseconds of calls, until the parent closes its end of the pipe.

    Args:
        connection: End of the pipe of this process.
        facts: What the program reports about itself.
        workloads: Name → examples of a call, and the calls, which are made in turn.
    """
    timers = {name: _timer(calls) for name, (_, calls) in workloads.items()}
    while True:
        try:
            name, times = connection.recv()
        except EOFError:  # the parent has closed its end
            return
        if name == DESCRIBE:
            connection.send((facts, {name: examples for name, (examples, _) in workloads.items()}))
        else:
            connection.send([next(timers[name]) for _ in range(times)])


def answer_error(connection: Connection, error: UserError) -> None:
    """Answer the first request with an error."""
    connection.recv()
    connection.send(error)


def _timer(calls: Iterable[Callable[[], Any]]) -> Iterator[float]:
    """Yield the milliseconds of one call after the other, after a few that are not timed."""
    repeated = itertools.cycle(calls)
    for call in itertools.islice(repeated, _WARM_UP_RUNS):
        call()
    for call in repeated:
        start = time.perf_counter()
        call()
        yield 1e3 * (time.perf_counter() - start)
