"""Padding of encoded examples to few distinct lengths."""

from __future__ import annotations

import numpy as np

from power_bert_runtime.encoded_texts import EncodedTexts

# (lengths up to this limit, step of the bucket lengths)
_BUCKET_STEPS = ((32, 4), (64, 8), (128, 16))
_LARGEST_STEP = 32


def bucket_length(length: int, max_length: int) -> int:
    """Return the padded length of a batch whose longest example has `length` tokens.

    Bucket lengths are multiples of 4 up to 32, of 8 up to 64, of 16 up to 128 and of 32 beyond, at most `max_length`.

    Raises:
        ValueError: `length` is less than 1 or greater than `max_length`.
    """
    if not 1 <= length <= max_length:
        raise ValueError(f"length {length}: expected 1 to the maximum length {max_length}")
    step = next((step for limit, step in _BUCKET_STEPS if length <= limit), _LARGEST_STEP)
    return min(-(-length // step) * step, max_length)


def pad_batch(encoded: EncodedTexts, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Return model inputs for the examples `rows`, padded to `length`.

    Args:
        encoded: Encoded examples.
        rows: Positions of the examples, (batch,).
        length: Padded length in tokens.

    Returns:
        token_ids, segment_ids and padding_mask, each int32 (batch, length).
    """
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
