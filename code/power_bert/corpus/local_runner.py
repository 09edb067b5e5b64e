"""Corpus preparation with processes of this machine: one reads, the others tokenize."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from power_bert.child_processes import end_with_parent
from power_bert.corpus.block_writer import write_block
from power_bert.corpus.blocks import Block, blocks_of
from power_bert.corpus.manifest import CorpusPlan
from power_bert.corpus.shards import Shard
from power_bert.errors import UserError

# Blocks per worker that are waiting or in progress. This bounds the memory.
_BLOCKS_PER_WORKER = 2


def write_shards(plan: CorpusPlan, folder: Path, workers: int) -> Iterator[Shard]:
    """Write all missing shards; yield every shard, in order.

    Args:
        plan: Plan of the corpus.
        folder: Corpus folder that `start_folder` has prepared.
        workers: Number of processes that tokenize; with 1, this process does it.
    """
    if workers == 1:
        for block in _blocks(plan):
            yield write_block(block, folder, plan.lowercase, plan.length)
        return
    # The threads of the tokenizer do not survive a fork.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            yield from _write_with(pool, plan, folder, workers * _BLOCKS_PER_WORKER)
    except BrokenProcessPool:
        raise UserError(
            "a process that tokenizes was ended from outside, perhaps because memory ran out. What is finished is "
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
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes already share the cores
    end_with_parent()
