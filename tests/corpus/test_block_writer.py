"""Tests of power_bert.corpus.block_writer: a block of documents becomes one shard, once."""

from pathlib import Path

import numpy as np
import pytest

from power_bert.corpus import block_writer
from power_bert.corpus.block_writer import write_block
from power_bert.corpus.blocks import Block
from power_bert.corpus.shards import Shard, read_shard

LENGTH = 6
BLOCK = Block("train", 0, 2, ("the cat sat.", "", "a zebra ran"))


@pytest.fixture
def folder(vocab_file: Path, tmp_path: Path) -> Path:
    """A corpus that has been started: its vocabulary lies in it."""
    folder = tmp_path / "corpus"
    (folder / "train").mkdir(parents=True)
    (folder / "vocab.txt").write_bytes(vocab_file.read_bytes())
    block_writer._tokenizer.cache_clear()
    return folder


def write(folder: Path, block: Block = BLOCK) -> Shard:
    return write_block(block, folder, True, LENGTH)


def test_the_records_are_the_documents(folder: Path, vocab_file: Path) -> None:
    vocabulary = vocab_file.read_text().split()
    records = read_shard(folder, write(folder), LENGTH)
    tokens = [[vocabulary[token] for token in record] for record in records]
    assert tokens == [
        ["[CLS]", "the", "cat", "sat", ".", "[SEP]"],
        ["[CLS]", "[SEP]", "a", "[UNK]", "ran", "[SEP]"],
    ]


def test_the_shard_counts_what_it_holds(folder: Path) -> None:
    shard = write(folder)
    assert (shard.name, shard.documents, shard.records) == ("train/000000-00002", 3, 2)
    assert (shard.tokens, shard.unknown, shard.text_digest) == (12, 1, BLOCK.digest)


def test_padding_is_no_token(folder: Path) -> None:
    shard = write(folder, Block("train", 0, 0, ("cat",)))
    np.testing.assert_array_equal(read_shard(folder, shard, LENGTH)[0, 3:], 0)
    assert (shard.records, shard.tokens) == (1, 3)


def test_a_block_without_text_is_an_empty_shard(folder: Path) -> None:
    shard = write(folder, Block("train", 0, 0, ("", "")))
    assert (shard.documents, shard.records, shard.tokens) == (2, 0, 0)
    assert read_shard(folder, shard, LENGTH).shape == (0, LENGTH)


def test_a_finished_shard_is_not_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = write(folder)
    monkeypatch.setattr(block_writer, "tokenize_documents", None)
    assert write(folder) == shard
    monkeypatch.undo()
    changed = Block("train", 0, 2, ("the dog ran",))
    assert write(folder, changed).text_digest == changed.digest != shard.text_digest
