"""Batches of examples of similar length, padded to few distinct lengths."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from power_bert.text.encoded_texts import EncodedTexts

# (up to this length, bucket lengths are multiples of this)
_BUCKET_STEPS = ((32, 4), (64, 8), (128, 16))
_LARGEST_STEP = 32
# Examples are sorted by length among this many batches only, so that a batch stays a random choice.
_CHUNK_BATCHES = 50


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        inputs: token_ids, segment_ids and padding_mask (1 for a token, 0 for padding), each int32 (batch, length).
        labels: (batch,), as given for the data set; None where it has none.
        rows: int64 (batch,), positions of the examples in the data set.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray | None
    rows: np.ndarray


def bucket_length(length: int, max_length: int) -> int:
    """The length to which a batch is padded whose longest example has `length` tokens.

    Multiples of 4 up to 32, of 8 up to 64, of 16 up to 128, of 32 beyond; never over `max_length`.

    Raises:
        ValueError: `length` is less than 1 or over `max_length`.
    """
    if not 1 <= length <= max_length:
        raise ValueError(f"length {length}: expected 1 to the maximum length {max_length}")
    step = next((step for limit, step in _BUCKET_STEPS if length <= limit), _LARGEST_STEP)
    return min(-(-length // step) * step, max_length)


class TrainingBatches:
    """Batches for training: every example exactly once an epoch, in an order that seed and epoch alone decide.

    The examples are shuffled; among each 50 batches in turn they are sorted by length, so that a batch needs little
    padding; then the order of the batches is shuffled. One batch an epoch may be smaller than the others.

    Args:
        encoded: The examples.
        labels: (examples,), or None.
        batch_size: Examples of a batch.
        max_length: No example is longer, and no batch is padded to more.
        seed: Not negative.

    Raises:
        ValueError: There are no examples, their number differs from that of the labels, one is too long, or the batch
            size is less than 1.
    """

    def __init__(
        self, encoded: EncodedTexts, labels: np.ndarray | None, batch_size: int, max_length: int, seed: int
    ) -> None:
        _check(encoded, batch_size, max_length)
        if labels is not None and len(labels) != len(encoded):
            raise ValueError(f"{len(encoded)} examples but {len(labels)} labels")
        self._encoded = encoded
        self._labels = labels
        self._batch_size = batch_size
        self._max_length = max_length
        self._seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the same for each epoch."""
        return -(-len(self._encoded) // self._batch_size)

    def epoch(self, epoch_index: int) -> Iterator[Batch]:
        """Yields the batches of an epoch.

        Args:
            epoch_index: From 0.
        """
        for rows in self._batch_rows(epoch_index):
            longest = int(self._encoded.lengths[rows].max())
            yield _make_batch(self._encoded, self._labels, rows, bucket_length(longest, self._max_length))

    def _batch_rows(self, epoch_index: int) -> list[np.ndarray]:
        generator = np.random.default_rng((self._seed, epoch_index))
        shuffled = generator.permutation(len(self._encoded))
        batches: list[np.ndarray] = []
        for chunk in _split(shuffled, self._batch_size * _CHUNK_BATCHES):
            by_length = chunk[np.argsort(self._encoded.lengths[chunk], kind="stable")]
            batches.extend(_split(by_length, self._batch_size))
        return [batches[position] for position in generator.permutation(len(batches))]


def evaluation_batches(
    encoded: EncodedTexts, batch_size: int, max_length: int, pad_to: int | None = None
) -> Iterator[Batch]:
    """Batches for prediction, sorted by length; `result[batch.rows] = outputs` restores the order.

    Args:
        encoded: The examples.
        batch_size: Examples of a batch; the last one may have fewer.
        max_length: No example is longer, and no batch is padded to more.
        pad_to: Pad every batch to this length (for benchmarks) and not to its bucket.

    Returns:
        The batches, without labels.

    Raises:
        ValueError: There are no examples, one is longer than `max_length` or `pad_to`, or the batch size is less than
            1.
    """
    _check(encoded, batch_size, max_length if pad_to is None else min(max_length, pad_to))
    by_length = np.argsort(encoded.lengths, kind="stable")
    return (
        _make_batch(
            encoded,
            None,
            rows,
            bucket_length(int(encoded.lengths[rows].max()), max_length) if pad_to is None else pad_to,
        )
        for rows in _split(by_length, batch_size)
    )


def _check(encoded: EncodedTexts, batch_size: int, max_length: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: expected at least 1")
    if not len(encoded):
        raise ValueError("no examples to make batches of")
    longest = int(encoded.lengths.max())
    if longest > max_length:
        raise ValueError(f"an example has {longest} tokens: expected at most {max_length}")


def _split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def pad_batch(encoded: EncodedTexts, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Model inputs of the examples `rows`, padded to `length`: three int32 arrays (len(rows), length)."""
    positions = np.arange(length)
    is_token = positions < encoded.lengths[rows][:, None]
    token_ids = np.full((len(rows), length), encoded.pad_id, dtype=np.int32)
    token_ids[is_token] = encoded.ids[(encoded.offsets[rows][:, None] + positions)[is_token]]
    segment_ids = is_token & (positions >= encoded.first_lengths[rows][:, None])
    return {
        "token_ids": token_ids,
        "segment_ids": segment_ids.astype(np.int32),
        "padding_mask": is_token.astype(np.int32),
    }


def _make_batch(encoded: EncodedTexts, labels: np.ndarray | None, rows: np.ndarray, length: int) -> Batch:
    return Batch(pad_batch(encoded, rows, length), None if labels is None else labels[rows], rows)
