"""Token ids of documents, packed to records of one length: [CLS] … [SEP], nothing wasted on padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from power_bert.errors import UserError
from power_bert.text.tokenizer import WordPieceTokenizer

# One word piece between [CLS] and [SEP].
SMALLEST_LENGTH = 3


def record_dtype(vocabulary_size: int) -> np.dtype[np.unsignedinteger]:
    """The smallest type that holds every token id."""
    return np.dtype("uint16" if vocabulary_size <= 2**16 else "uint32")


def tokenize_documents(documents: Sequence[str], tokenizer: WordPieceTokenizer) -> list[np.ndarray]:
    """Word piece ids of each document, int32 (pieces,); the lines of a document follow one another."""
    return [
        np.fromiter(chain.from_iterable(tokenizer.piece_ids(document.split("\n"))), np.int32) for document in documents
    ]


def pack_records(documents: Sequence[np.ndarray], length: int, tokenizer: WordPieceTokenizer) -> np.ndarray:
    """Packs documents one after the other, with a [SEP] between them, as RoBERTa's "full sentences" (Liu et al. 2019).

    Args:
        documents: Word piece ids of each, (pieces,).
        length: Tokens of a record, [CLS] and [SEP] included.
        tokenizer: Gives the special tokens and the type.

    Returns:
        (records, length); the last record is filled with [PAD]. No record where there are no word pieces.
    """
    if length < SMALLEST_LENGTH:
        raise UserError(f"--length {length}: expected at least {SMALLEST_LENGTH}, which is one word piece a record")
    stream = np.concatenate([np.zeros(0, np.int32), *_with_separators(documents, tokenizer.sep_id)])
    words = length - 2
    num_records = -(-len(stream) // words)
    records = np.full((num_records, length), tokenizer.pad_id, record_dtype(tokenizer.vocabulary_size))
    records[:, 0] = tokenizer.cls_id
    if num_records:
        records[:-1, 1:-1] = stream[: (num_records - 1) * words].reshape(-1, words)
        records[:-1, -1] = tokenizer.sep_id
        last = stream[(num_records - 1) * words :]
        records[-1, 1 : len(last) + 1] = last
        records[-1, len(last) + 1] = tokenizer.sep_id
    return records


def _with_separators(documents: Sequence[np.ndarray], sep_id: int) -> Iterator[np.ndarray]:
    filled = [document for document in documents if len(document)]
    for number, document in enumerate(filled):
        if number:
            yield np.array([sep_id], np.int32)
        yield document
