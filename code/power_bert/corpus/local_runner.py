"""Prepares a corpus with processes of this machine: one reads, the others tokenise."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from power_bert.corpus.block_writer import write_block
from power_bert.corpus.blocks import Block, blocks_of
from power_bert.corpus.manifest import CorpusPlan
from power_bert.corpus.shards import Shard
from power_bert.errors import UserError

# Blocks that wait or are worked on, per worker: bounds the memory.
_BLOCKS_PER_WORKER = 2


def write_shards(plan: CorpusPlan, folder: Path, workers: int) -> Iterator[Shard]:
    """Writes all shards that are not there yet; yields all of them, in order.

    Args:
        plan: What to prepare.
        folder: Where; it has been started.
        workers: Processes that tokenise; 1 does it in this one.
    """
    if workers == 1:
        for block in _blocks(plan):
            yield write_block(block, folder, plan.lowercase, plan.length)
        return
    # Not forked: the threads of the tokenizer would not survive that.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            yield from _write_with(pool, plan, folder, workers * _BLOCKS_PER_WORKER)
    except BrokenProcessPool:
        raise UserError(
            "a process that tokenises was ended from outside, perhaps because memory ran out. What is finished is "
            "kept: give the same command again, with fewer --workers"
        ) from None


def _blocks(plan: CorpusPlan) -> Iterator[Block]:
    for number, corpus_input in enumerate(plan.inputs):
        yield from blocks_of(number, corpus_input, plan.rules, plan.split, plan.shard_characters)


def _write_with(pool: Executor, plan: CorpusPlan, folder: Path, most: int) -> Iterator[Shard]:
    running: deque[Future[Shard]] = deque()
    for block in _blocks(plan):
        running.append(pool.submit(write_block, block, folder, plan.lowercase, plan.length))
        if len(running) >= most:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _start_worker() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes share the cores already
    end_with_parent()


def end_with_parent() -> None:
    """Ends this process when its parent is killed; a worker would wait for ever for the next block."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
