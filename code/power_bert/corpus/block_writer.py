"""The conversion of one block of documents into one shard; every runner calls it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from power_bert.corpus.blocks import Block
from power_bert.corpus.manifest import VOCABULARY_FILE
from power_bert.corpus.records import pack_records, tokenize_documents
from power_bert.corpus.shards import Shard, finished_shard, write_shard
from power_bert.text.tokenizer import WordPieceTokenizer


def write_block(block: Block, folder: Path, lowercase: bool, length: int) -> Shard:
    """Tokenize a block, pack it into records and write its shard, unless an earlier call did.

    Args:
        block: The documents.
        folder: Corpus folder that already holds `vocab.txt`.
        lowercase: Whether the vocabulary is uncased.
        length: Tokens per record.

    Returns:
        The shard, with its counts and its sha256.
    """
    digest = block.digest
    finished = finished_shard(folder, block.name, digest)
    if finished is not None:
        return finished
    tokenizer = _tokenizer(folder / VOCABULARY_FILE, lowercase)
    documents = tokenize_documents(block.documents, tokenizer)
    records = pack_records(documents, length, tokenizer)
    shard = Shard(
        block.name,
        documents=len(documents),
        records=len(records),
        tokens=int((records != tokenizer.pad_id).sum()),
        unknown=int((records == tokenizer.unknown_id).sum()),
        sha256="",
        text_digest=digest,
    )
    return write_shard(folder, shard, records)


@lru_cache(maxsize=1)
def _tokenizer(vocabulary_path: Path, lowercase: bool) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocabulary_path, lowercase)
