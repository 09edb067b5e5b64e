"""Records of one fixed length, [CLS] … [SEP], packed from the token ids of documents without padding in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from power_bert.errors import UserError
from power_bert.text.tokenizer import WordPieceTokenizer

# [CLS], one token of text, [SEP].
SMALLEST_LENGTH = 3


def record_dtype(vocabulary_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest data type that holds every token id."""
    return np.dtype("uint16" if vocabulary_size <= 2**16 else "uint32")


def tokenize_documents(documents: Sequence[str], tokenizer: WordPieceTokenizer) -> list[np.ndarray]:
    """Return the token ids of each document, int32 (tokens,), with its lines joined."""
    return [
        np.fromiter(chain.from_iterable(tokenizer.token_ids(document.split("\n"))), np.int32) for document in documents
    ]


def pack_records(documents: Sequence[np.ndarray], length: int, tokenizer: WordPieceTokenizer) -> np.ndarray:
    """Pack documents one after another, separated by [SEP], as in RoBERTa's "full sentences" (Liu et al. 2019).

    Args:
        documents: Token ids of each document, int32 (tokens,).
        length: Tokens per record, including [CLS] and [SEP].
        tokenizer: Tokenizer whose special tokens and vocabulary size are used.

    Returns:
        Token ids, (records, length); the last record is padded with [PAD]. There are no records if there are no tokens.
    """
    if length < SMALLEST_LENGTH:
        raise UserError(
            f"--length {length}: expected at least {SMALLEST_LENGTH}, which is one token of text per record"
        )
    stream = np.concatenate([np.zeros(0, np.int32), *_with_separators(documents, tokenizer.sep_id)])
    per_record = length - 2
    num_records = -(-len(stream) // per_record)
    records = np.full((num_records, length), tokenizer.pad_id, record_dtype(tokenizer.vocabulary_size))
    records[:, 0] = tokenizer.cls_id
    if num_records:
        records[:-1, 1:-1] = stream[: (num_records - 1) * per_record].reshape(-1, per_record)
        records[:-1, -1] = tokenizer.sep_id
        last = stream[(num_records - 1) * per_record :]
        records[-1, 1 : len(last) + 1] = last
        records[-1, len(last) + 1] = tokenizer.sep_id
    return records


def _with_separators(documents: Sequence[np.ndarray], sep_id: int) -> Iterator[np.ndarray]:
    filled = [document for document in documents if len(document)]
    for number, document in enumerate(filled):
        if number:
            yield np.array([sep_id], np.int32)
        yield document
