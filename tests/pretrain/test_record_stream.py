"""Tests of power_bert.pretrain.record_stream: shuffled, complete, and from any training step on."""

from itertools import islice

import numpy as np
import pytest

from power_bert.corpus.manifest import Corpus
from power_bert.corpus.shards import read_shard
from power_bert.pretrain.record_stream import evenly_chosen_records, training_batches


def all_records(corpus: Corpus, side: str) -> np.ndarray:
    return np.concatenate([read_shard(corpus.folder, shard, corpus.length) for shard in corpus.side(side)])  # type: ignore[arg-type]


def take(corpus: Corpus, batches: int, batch: int, seed: int = 0, first: int = 0, window: int = 150) -> np.ndarray:
    return np.stack(list(islice(training_batches(corpus, batch, seed, first, window), batches)))


def sorted_rows(records: np.ndarray) -> list[list[int]]:
    rows: list[list[int]] = records.tolist()
    return sorted(rows)


@pytest.mark.parametrize("window", [1, 150, 10**6])
def test_every_record_once_an_epoch(window: int, tiny_corpus: Corpus) -> None:
    expected = all_records(tiny_corpus, "train")
    assert len(tiny_corpus.side("train")) > 2
    stream = take(tiny_corpus, 2 * len(expected), 1, window=window)[:, 0]
    first, second = stream[: len(expected)], stream[len(expected) :]
    assert sorted_rows(first) == sorted_rows(second) == sorted_rows(expected)
    assert not np.array_equal(first, second) and not np.array_equal(first, expected)


@pytest.mark.parametrize("first", [1, 7, 31, 63, 200])
def test_from_any_batch_on(first: int, tiny_corpus: Corpus) -> None:
    whole = take(tiny_corpus, 210, 13)
    assert np.array_equal(take(tiny_corpus, 10, 13, first=first), whole[first : first + 10])


def test_the_seed_decides(tiny_corpus: Corpus) -> None:
    one, same, other = (take(tiny_corpus, 5, 8, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_evaluation_records(tiny_corpus: Corpus) -> None:
    everything = all_records(tiny_corpus, "test")
    assert np.array_equal(evenly_chosen_records(tiny_corpus, "test", 10**6), everything)
    some = evenly_chosen_records(tiny_corpus, "test", 20)
    assert len(some) == 20
    assert np.array_equal(some[0], everything[0]) and np.array_equal(some[-1], everything[-1])
