"""Endless shuffled stream of the records of a corpus, which can start at any training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from power_bert.corpus.document_split import Side
from power_bert.corpus.manifest import Corpus
from power_bert.corpus.shards import Shard, read_shard

# Records that are shuffled together; about 33 MB at sequence length 128.
_WINDOW_RECORDS = 2**17
# Distinguish the random generators of one seed.
_SHARD_ORDER, _RECORD_ORDER = 1, 2


def training_batches(
    corpus: Corpus, batch_size: int, seed: int, first: int = 0, window_records: int = _WINDOW_RECORDS
) -> Iterator[np.ndarray]:
    """Iterate over batches of training records, epoch after epoch, in a random order with each record once per epoch.

    Shards are shuffled. The shards of one window are read and checked, and their records are shuffled together. Memory
    use is that of one window, whatever the size of the corpus.

    Args:
        corpus: Corpus to read.
        batch_size: Records per batch.
        seed: Random seed of the order.
        first: Index of the first batch; earlier shards are not read.
        window_records: Minimum number of records in a window.

    Yields:
        Token ids, (batch_size, length), in the dtype of the shards.

    Raises:
        UserError: A shard is missing or corrupt.
    """
    waiting = np.zeros((0, corpus.length), np.uint16)
    for window in _windows(corpus, seed, first * batch_size, window_records):
        waiting = np.concatenate([waiting, window]) if len(waiting) else window
        whole = len(waiting) // batch_size * batch_size
        for start in range(0, whole, batch_size):
            yield waiting[start : start + batch_size]
        waiting = waiting[whole:]


def _windows(corpus: Corpus, seed: int, skip: int, window_records: int) -> Iterator[np.ndarray]:
    """Iterate over the shuffled records of each window, (records, length), without the first `skip` of the stream."""
    shards = corpus.side("train")
    records_of_epoch = sum(shard.records for shard in shards)
    epoch, skip = divmod(skip, records_of_epoch)
    while True:
        order = np.random.default_rng((seed, _SHARD_ORDER, epoch)).permutation(len(shards))
        for number, window in enumerate(_group([shards[index] for index in order], window_records)):
            records = sum(shard.records for shard in window)
            if skip >= records:
                skip -= records
                continue
            permutation = np.random.default_rng((seed, _RECORD_ORDER, epoch, number)).permutation(records)
            stored = np.concatenate([read_shard(corpus.folder, shard, corpus.length) for shard in window])
            yield stored[permutation[skip:]]
            skip = 0
        epoch += 1


def _group(shards: Sequence[Shard], window_records: int) -> Iterator[list[Shard]]:
    window: list[Shard] = []
    for shard in shards:
        window.append(shard)
        if sum(member.records for member in window) >= window_records:
            yield window
            window = []
    if window:
        yield window


def evenly_chosen_records(corpus: Corpus, side: Side, most: int) -> np.ndarray:
    """Return at most `most` evenly spaced records of a split side, the same at every call, (records, length)."""
    shards = corpus.side(side)
    total = sum(shard.records for shard in shards)
    wanted = np.arange(total) if total <= most else np.linspace(0, total - 1, most).round().astype(np.int64)
    chosen, start = [], 0
    for shard in shards:
        inside = wanted[(wanted >= start) & (wanted < start + shard.records)] - start
        if len(inside):
            chosen.append(read_shard(corpus.folder, shard, corpus.length)[inside])
        start += shard.records
    return np.concatenate(chosen)
