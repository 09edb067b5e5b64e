"""Token ids of a data set in flat arrays, with 12 bytes per example and 4 per token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of many examples, concatenated without padding.

    An example is [CLS] first [SEP], followed by second [SEP] for pairs; segment 0 ends with the first [SEP].

    Attributes:
        ids: Token ids, int32 (tokens of all examples,).
        offsets: Start of each example, int64 (examples + 1,); example i is `ids[offsets[i] : offsets[i + 1]]`.
        first_lengths: Number of tokens of segment 0, int32 (examples,).
        pad_id: Id of the padding token.
    """

    ids: np.ndarray
    offsets: np.ndarray
    first_lengths: np.ndarray
    pad_id: int = 0

    @classmethod
    def from_rows(
        cls, rows: Sequence[Sequence[int] | np.ndarray], first_lengths: Sequence[int], pad_id: int = 0
    ) -> EncodedTexts:
        """Make it from the token ids of each example, and the number of them that belong to segment 0."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        ids = np.fromiter(chain.from_iterable(rows), np.int32, count=offsets[-1])
        return cls(ids, offsets, np.array(first_lengths, np.int32), pad_id)

    @classmethod
    def concatenate(cls, parts: Sequence[EncodedTexts], pad_id: int = 0) -> EncodedTexts:
        """Concatenate the examples of all parts; there may be no parts."""
        if not parts:
            return cls.from_rows([], [], pad_id)
        starts = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
        offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=True)]
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([np.zeros(1, np.int64), *offsets]),
            np.concatenate([part.first_lengths for part in parts]),
            pad_id,
        )

    def __len__(self) -> int:
        return len(self.first_lengths)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each example, int64 (examples,)."""
        return np.diff(self.offsets)

    @property
    def token_ids(self) -> RowViews:
        """Token ids of each example, int32 (length,)."""
        return RowViews(len(self), lambda row: self.ids[self.offsets[row] : self.offsets[row + 1]])

    @property
    def segment_ids(self) -> RowViews:
        """Segment ids of each example, int32 (length,): 0 up to the first [SEP], 1 after it."""
        return RowViews(
            len(self), lambda row: (np.arange(self.lengths[row]) >= self.first_lengths[row]).astype(np.int32)
        )


class RowViews:
    """Sequence of arrays, one per example, each made on access."""

    def __init__(self, num_rows: int, make_row: Callable[[int], np.ndarray]) -> None:
        self._num_rows, self._make_row = num_rows, make_row

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, row: int) -> np.ndarray:
        return self._make_row(range(self._num_rows)[row])

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._make_row, range(self._num_rows))
