"""Tests of power_bert_runtime.encoded_texts."""

import numpy as np
import pytest

from power_bert_runtime.encoded_texts import EncodedTexts

ROWS = [[2, 7, 8, 3], [2, 3, 9, 3], [2, 3]]
FIRST_LENGTHS = [4, 2, 2]


def test_rows_and_segments() -> None:
    encoded = EncodedTexts.from_rows(ROWS, FIRST_LENGTHS, pad_id=5)
    assert [ids.tolist() for ids in encoded.token_ids] == ROWS
    assert [ids.tolist() for ids in encoded.segment_ids] == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0]]
    assert encoded.token_ids[-1].tolist() == [2, 3]
    assert encoded.lengths.tolist() == [4, 4, 2]
    assert encoded.lengths is encoded.lengths
    assert len(encoded) == len(encoded.token_ids) == 3
    assert {encoded.ids.dtype, encoded.token_ids[0].dtype, encoded.segment_ids[0].dtype} == {np.dtype(np.int32)}
    with pytest.raises(IndexError):
        encoded.token_ids[3]


def test_concatenation_keeps_the_rows() -> None:
    parts = [EncodedTexts.from_rows(ROWS[start:stop], FIRST_LENGTHS[start:stop]) for start, stop in ((0, 2), (2, 3))]
    whole = EncodedTexts.concatenate([*parts, EncodedTexts.concatenate([])], pad_id=5)
    expected = EncodedTexts.from_rows(ROWS, FIRST_LENGTHS, pad_id=5)
    for name in ("ids", "offsets", "first_lengths"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(expected, name))
        assert getattr(whole, name).dtype == getattr(expected, name).dtype
    assert whole.pad_id == 5


def test_no_examples() -> None:
    nothing = EncodedTexts.concatenate([])
    assert len(nothing) == 0
    assert list(nothing.token_ids) == []
    assert nothing.lengths.shape == (0,)


def test_memory_is_four_bytes_a_token_and_twelve_an_example() -> None:
    encoded = EncodedTexts.from_rows(ROWS * 1000, FIRST_LENGTHS * 1000)
    size = sum(array.nbytes for array in (encoded.ids, encoded.offsets, encoded.first_lengths))
    assert size == 4 * 10 * 1000 + 12 * 3000 + 8
