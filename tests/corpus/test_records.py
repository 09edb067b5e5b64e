"""Tests of power_bert.corpus.records: packing."""

import numpy as np
import pytest

from power_bert.corpus.records import pack_records, record_dtype, tokenize_documents
from power_bert.errors import UserError
from power_bert.text.tokenizer import WordPieceTokenizer

PAD, UNK, CLS, SEP = range(4)


@pytest.fixture
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c"], lowercase=True)


def test_packing(tokenizer: WordPieceTokenizer) -> None:
    documents = [np.array([5, 6, 7]), np.array([], int), np.array([6, 6])]
    expected = [[CLS, 5, 6, 7, SEP, SEP], [CLS, 6, 6, SEP, PAD, PAD]]
    assert pack_records(documents, 6, tokenizer).tolist() == expected
    assert pack_records(documents, 5, tokenizer).tolist() == [[CLS, 5, 6, 7, SEP], [CLS, SEP, 6, 6, SEP]]


def test_every_word_piece_once_and_in_order(tokenizer: WordPieceTokenizer) -> None:
    generator = np.random.default_rng(0)
    documents = [generator.integers(5, 8, generator.integers(0, 30)) for _ in range(20)]
    records = pack_records(documents, 11, tokenizer)
    assert records.dtype == "uint16" and (records[:, 0] == CLS).all()
    assert [piece for piece in records.ravel() if piece >= 5] == np.concatenate(documents).tolist()
    assert (records[:-1, -1] == SEP).all() and PAD not in records[:-1]


def test_nothing_to_pack(tokenizer: WordPieceTokenizer) -> None:
    assert pack_records([], 6, tokenizer).shape == pack_records([np.array([], int)], 6, tokenizer).shape == (0, 6)


def test_lines_of_a_document_follow_one_another(tokenizer: WordPieceTokenizer) -> None:
    assert [ids.tolist() for ids in tokenize_documents(["A b\nac", "猫"], tokenizer)] == [[5, 6, 5, 7], [UNK]]


def test_dtype() -> None:
    assert record_dtype(2**16) == "uint16" and record_dtype(2**16 + 1) == "uint32"


def test_too_short(tokenizer: WordPieceTokenizer) -> None:
    with pytest.raises(UserError, match="--length 2: expected at least 3"):
        pack_records([np.array([5])], 2, tokenizer)
