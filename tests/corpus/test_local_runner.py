"""Tests of power_bert.corpus.local_runner: the shards in their order, with few blocks in memory."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from power_bert.corpus import local_runner
from power_bert.corpus.blocks import Block
from power_bert.corpus.manifest import CorpusPlan


class LatePool:
    """Works on a block only when its result is asked for, and notes how many wait."""

    def __init__(self) -> None:
        self.waiting = self.most_waiting = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        future: Future[Any] = Future()

        def result(timeout: float | None = None) -> Any:
            self.waiting -= 1
            return function(*arguments)

        future.result = result  # type: ignore[method-assign]
        return future


@pytest.mark.parametrize("most", [1, 2, 5, 1000])
def test_all_blocks_in_order_and_at_most_so_many_at_once(
    most: int, make_corpus_plan: Callable[..., CorpusPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, pool = make_corpus_plan(), LatePool()
    monkeypatch.setattr(local_runner, "write_block", lambda block, *_: block.name)
    expected = [block.name for block in local_runner._blocks(plan)]
    assert len(expected) > 5
    assert list(local_runner._write_with(pool, plan, Path("corpus"), most)) == expected  # type: ignore[arg-type]
    assert pool.most_waiting == min(most, len(expected))


def test_one_worker_works_in_this_process(
    make_corpus_plan: Callable[..., CorpusPlan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[Any, ...]] = []

    def write(block: Block, *arguments: Any) -> str:
        asked.append(arguments)
        return block.name

    monkeypatch.setattr(local_runner, "write_block", write)
    monkeypatch.setattr(local_runner, "ProcessPoolExecutor", None)
    plan = make_corpus_plan()
    assert list(local_runner.write_shards(plan, tmp_path, 1)) == [block.name for block in local_runner._blocks(plan)]
    assert set(asked) == {(tmp_path, plan.lowercase, plan.length)}
