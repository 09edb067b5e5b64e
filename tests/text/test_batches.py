"""Tests of power_bert.text.batches."""

import numpy as np
import pytest

from power_bert.text.batches import Batch, TrainingBatches, evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.padding import bucket_length

PAD_ID = 9


def make_encoded(num_examples: int, max_length: int = 61, seed: int = 0) -> EncodedTexts:
    """Examples of random lengths; the tokens of example i are 100 i, 100 i + 1, …; the last third is segment 1."""
    lengths = np.random.default_rng(seed).integers(2, max_length, num_examples, endpoint=True)
    token_ids = [np.arange(100 * row, 100 * row + length, dtype=np.int32) for row, length in enumerate(lengths)]
    return EncodedTexts.from_rows(token_ids, 2 * lengths // 3, PAD_ID)


def check_batch(batch: Batch, encoded: EncodedTexts) -> None:
    """Every row holds its example, then padding."""
    assert set(batch.inputs) == {"token_ids", "segment_ids", "padding_mask"}
    token_ids, segment_ids, mask = (batch.inputs[key] for key in ("token_ids", "segment_ids", "padding_mask"))
    assert token_ids.shape == segment_ids.shape == mask.shape
    assert token_ids.dtype == segment_ids.dtype == mask.dtype == np.int32
    assert len(token_ids) == len(batch.rows)
    for position, row in enumerate(batch.rows):
        length = encoded.lengths[row]
        np.testing.assert_array_equal(token_ids[position, :length], encoded.token_ids[row])
        np.testing.assert_array_equal(segment_ids[position, :length], encoded.segment_ids[row])
        assert (token_ids[position, length:] == PAD_ID).all()
        assert (segment_ids[position, length:] == 0).all()
        assert mask[position].tolist() == [1] * length + [0] * (mask.shape[1] - length)


class TestBucketLength:
    @pytest.mark.parametrize(
        ("length", "expected"),
        [(1, 4), (4, 4), (5, 8), (29, 32), (32, 32), (33, 40), (64, 64), (65, 80), (128, 128), (129, 160), (500, 512)],
    )
    def test_values(self, length: int, expected: int) -> None:
        assert bucket_length(length, 512) == expected

    def test_never_over_the_maximum(self) -> None:
        assert bucket_length(49, 50) == 50
        assert all(length <= bucket_length(length, 67) <= 67 for length in range(1, 68))

    @pytest.mark.parametrize("length", [0, -1, 65])
    def test_out_of_range(self, length: int) -> None:
        with pytest.raises(ValueError, match="expected 1 to the maximum length 64"):
            bucket_length(length, 64)


class TestTrainingBatches:
    @pytest.mark.parametrize(("num_examples", "batch_size"), [(1, 3), (3, 3), (7, 3), (1003, 7), (350, 7)])
    def test_every_example_exactly_once(self, num_examples: int, batch_size: int) -> None:
        encoded = make_encoded(num_examples)
        labels = np.arange(num_examples) * 10
        batches = TrainingBatches(encoded, labels, batch_size, max_length=64, seed=3)
        for epoch in range(3):
            found = list(batches.epoch(epoch))
            assert len(found) == batches.steps_per_epoch == -(-num_examples // batch_size)
            assert sorted(np.concatenate([batch.rows for batch in found])) == list(range(num_examples))
            # One batch at most is smaller than the others.
            assert sum(len(batch.rows) != batch_size for batch in found) <= 1
            for batch in found:
                check_batch(batch, encoded)
                assert batch.labels is not None
                assert batch.labels.tolist() == (batch.rows * 10).tolist()
                longest = int(encoded.lengths[batch.rows].max())
                assert batch.inputs["token_ids"].shape[1] == bucket_length(longest, 64)

    def test_order_depends_on_seed_and_epoch_alone(self) -> None:
        encoded = make_encoded(201)

        def order(seed: int, epoch: int) -> list[list[int]]:
            batches = TrainingBatches(encoded, None, batch_size=5, max_length=64, seed=seed)
            return [batch.rows.tolist() for batch in batches.epoch(epoch)]

        first = order(seed=1, epoch=2)
        np.random.default_rng().random()
        assert order(seed=1, epoch=2) == first
        assert order(seed=1, epoch=3) != first
        assert order(seed=2, epoch=2) != first

    def test_few_shapes_and_little_padding_in_mixed_order(self) -> None:
        encoded = make_encoded(5003)
        found = list(TrainingBatches(encoded, None, batch_size=16, max_length=64, seed=0).epoch(0))
        lengths = [batch.inputs["token_ids"].shape[1] for batch in found]
        assert len(set(lengths)) <= 12
        padded = sum(batch.inputs["token_ids"].size for batch in found)
        assert encoded.lengths.sum() / padded > 0.85
        assert lengths != sorted(lengths)
        assert all(batch.labels is None for batch in found)

    def test_wrong_use(self) -> None:
        encoded = make_encoded(5)
        with pytest.raises(ValueError, match="5 examples but 4 labels"):
            TrainingBatches(encoded, np.zeros(4), 2, 64, 0)
        with pytest.raises(ValueError, match="batch size 0"):
            TrainingBatches(encoded, None, 0, 64, 0)
        with pytest.raises(ValueError, match="no examples"):
            TrainingBatches(EncodedTexts.from_rows([], []), None, 2, 64, 0)
        with pytest.raises(ValueError, match="expected at most 1"):
            TrainingBatches(encoded, None, 2, 1, 0)


class TestEvaluationBatches:
    @pytest.mark.parametrize(("num_examples", "batch_size"), [(1, 4), (8, 4), (103, 7)])
    def test_sorted_and_restored_by_rows(self, num_examples: int, batch_size: int) -> None:
        encoded = make_encoded(num_examples)
        restored = np.full(num_examples, -1)
        longest = 0
        for batch in evaluation_batches(encoded, batch_size, max_length=64):
            check_batch(batch, encoded)
            assert batch.labels is None
            assert encoded.lengths[batch.rows].min() >= longest
            longest = int(encoded.lengths[batch.rows].max())
            assert batch.inputs["token_ids"].shape[1] == bucket_length(longest, 64)
            restored[batch.rows] = batch.inputs["token_ids"][:, 0]
        assert restored.tolist() == [100 * row for row in range(num_examples)]

    def test_fixed_padding(self) -> None:
        encoded = make_encoded(11)
        batches = list(evaluation_batches(encoded, 4, max_length=64, pad_to=63))
        assert [batch.inputs["token_ids"].shape for batch in batches] == [(4, 63), (4, 63), (3, 63)]
        for batch in batches:
            check_batch(batch, encoded)

    def test_wrong_use_raises_at_once(self) -> None:
        encoded = make_encoded(5)
        longest = int(encoded.lengths.max())
        for max_length, pad_to in ((longest - 1, None), (64, longest - 1)):
            with pytest.raises(ValueError, match=f"{longest} tokens: expected at most {longest - 1}"):
                evaluation_batches(encoded, 2, max_length, pad_to)
