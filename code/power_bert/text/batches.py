"""Batches of examples of similar length, padded to few distinct lengths."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.padding import bucket_length, pad_batch

# Examples are sorted by length within this many batches only, so that each batch stays a random choice.
_CHUNK_BATCHES = 50


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        inputs: Arrays token_ids, segment_ids and padding_mask (1 for a token, 0 for padding), int32 (batch, length)
            each.
        labels: Labels as in the data set, (batch,); None if it has none.
        rows: Positions of the examples in the data set, int64 (batch,).
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray | None
    rows: np.ndarray


class TrainingBatches:
    """Batches for training: every example exactly once per epoch, in an order that depends on seed and epoch alone.

    The examples are shuffled, then sorted by length within each 50 batches to need little padding, then the order of
    the batches is shuffled. One batch per epoch may be smaller than the others.

    Args:
        encoded: Encoded examples.
        labels: Labels, (examples,), or None.
        batch_size: Examples per batch.
        max_length: Largest length in tokens of an example and of a padded batch.
        seed: Seed of the order, not negative.

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
        """Number of batches per epoch, the same for every epoch."""
        return -(-len(self._encoded) // self._batch_size)

    def epoch(self, epoch_index: int) -> Iterator[Batch]:
        """Yield the batches of an epoch.

        Args:
            epoch_index: Number of the epoch, from 0.
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
    """Make batches for prediction, sorted by length; `result[batch.rows] = outputs` restores the order.

    Args:
        encoded: Encoded examples.
        batch_size: Examples per batch; the last batch may be smaller.
        max_length: Largest length in tokens of an example and of a padded batch.
        pad_to: Fixed length of all batches, for benchmarks; None pads each batch to its bucket length.

    Returns:
        Batches without labels.

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


def _make_batch(encoded: EncodedTexts, labels: np.ndarray | None, rows: np.ndarray, length: int) -> Batch:
    return Batch(pad_batch(encoded, rows, length), None if labels is None else labels[rows], rows)
