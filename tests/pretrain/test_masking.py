"""Tests of power_bert.pretrain.masking: shares, whole words, repeatability."""

import numpy as np
import pytest

from power_bert.pretrain.masking import MaskedRecords, Masker, predictions_of
from power_bert.text.tokenizer import WordPieceTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
WORDS = [f"w{number}" for number in range(300)]
PIECES = [f"##p{number}" for number in range(100)]
FIRST_PIECE = len(SPECIAL) + len(WORDS)


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer([*SPECIAL, *WORDS, *PIECES], lowercase=True)


def make_records(count: int, length: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    records = generator.integers(5, len(SPECIAL) + len(WORDS) + len(PIECES), (count, length)).astype(np.uint16)
    records[:, 0], records[:, -1] = CLS, SEP
    records[::2, length // 2] = SEP
    return records


def mask(masker: Masker, records: np.ndarray, seed: int = 1) -> MaskedRecords:
    return masker.mask(records, np.random.default_rng(seed))


@pytest.mark.parametrize("whole_words", [False, True])
class TestEveryBatch:
    def test_labels_are_what_stood_there(self, whole_words: bool, tokenizer: WordPieceTokenizer) -> None:
        records = make_records(30, 40)
        masked = mask(Masker(tokenizer, 40, 0.2, whole_words), records)
        assert masked.positions.shape == (30, predictions_of(40, 0.2)) == (30, 8)
        assert np.array_equal(np.take_along_axis(records, masked.positions, axis=1), masked.labels)
        chosen = np.zeros(records.shape, bool)
        rows, columns = np.nonzero(masked.weights)
        chosen[rows, masked.positions[rows, columns]] = True
        assert np.array_equal(masked.token_ids[~chosen], records[~chosen])
        assert chosen.sum() == masked.weights.sum(), "no token is chosen twice"
        assert not chosen[records < 5].any(), "special tokens are never chosen"
        assert (np.diff(masked.positions, axis=1)[masked.weights[:, 1:] > 0] > 0).all()

    def test_the_generator_decides(self, whole_words: bool, tokenizer: WordPieceTokenizer) -> None:
        masker, records = Masker(tokenizer, 40, 0.2, whole_words), make_records(5, 40)
        one, same, other = (mask(masker, records, seed) for seed in (1, 1, 2))
        assert np.array_equal(one.token_ids, same.token_ids) and np.array_equal(one.positions, same.positions)
        assert not np.array_equal(one.positions, other.positions)

    def test_short_records(self, whole_words: bool, tokenizer: WordPieceTokenizer) -> None:
        records = np.array([[CLS, 5, 6, SEP, PAD, PAD, PAD, PAD], [CLS, SEP, PAD, PAD, PAD, PAD, PAD, PAD]], np.uint16)
        masked = mask(Masker(tokenizer, 8, 0.5, whole_words), records)
        assert masked.weights.tolist() == [[1, 1, 0], [0, 0, 0]]
        assert masked.padding_mask.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
        assert np.array_equal(masked.token_ids[:, [0, 3, 4, 5, 6, 7]], records[:, [0, 3, 4, 5, 6, 7]])


def test_shares(tokenizer: WordPieceTokenizer) -> None:
    masked = mask(Masker(tokenizer, 128, 0.15, False), make_records(500, 128))
    shown = np.take_along_axis(masked.token_ids, masked.positions, axis=1)
    chosen = masked.weights > 0
    assert chosen.mean() == 1.0, "full records always have enough tokens"
    total = chosen.sum()
    is_mask, is_same = (shown == MASK)[chosen].mean(), (shown == masked.labels)[chosen].mean()
    # Four standard deviations; a random token is the right one in 1 of 400 cases.
    assert abs(is_mask - 0.8) < 4 * np.sqrt(0.16 / total)
    assert abs(is_same - 0.10025) < 4 * np.sqrt(0.09 / total)
    replaced = shown[chosen & (shown != MASK) & (shown != masked.labels)]
    assert replaced.min() >= 5 and len(np.unique(replaced)) > 300
    counts = np.delete(np.bincount(masked.positions.ravel(), minlength=128), [0, 64, 127])  # every other row: [SEP]
    assert counts.min() > 0.5 * counts.mean(), "every position is chosen as often as others"


def test_words_are_masked_as_a_whole(tokenizer: WordPieceTokenizer) -> None:
    records = make_records(300, 64)
    masked = mask(Masker(tokenizer, 64, 0.3, True), records)
    for record, positions, weights in zip(records, masked.positions, masked.weights, strict=True):
        chosen = set(positions[weights > 0])
        for position in chosen:
            after, before = position + 1, position - 1
            if record[after] >= FIRST_PIECE:
                assert after in chosen
            if record[position] >= FIRST_PIECE and record[before] >= 5:
                assert before in chosen
    assert masked.weights.mean() > 0.9


def test_pieces_are_masked_apart(tokenizer: WordPieceTokenizer) -> None:
    records = np.array([[CLS, *([5, FIRST_PIECE] * 20), SEP]] * 50, np.uint16)
    masked = mask(Masker(tokenizer, 42, 0.3, False), records)
    pairs = {(row, (position - 1) // 2) for row, positions in enumerate(masked.positions) for position in positions}
    assert len(pairs) > 1.3 * masked.positions.size / 2
    whole = mask(Masker(tokenizer, 42, 0.3, True), records)
    assert whole.weights.sum() == 2 * len(
        {(row, (p - 1) // 2) for row, (ps, ws) in enumerate(zip(whole.positions, whole.weights, strict=True))
         for p, w in zip(ps, ws, strict=True) if w}
    )  # fmt: skip


def test_at_least_one() -> None:
    assert predictions_of(4, 0.01) == 1 and predictions_of(128, 0.15) == 19
