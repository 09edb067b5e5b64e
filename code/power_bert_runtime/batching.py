"""Batches of examples of similar length, for engines whose batch and length are dynamic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from power_bert_runtime.contents import INPUT_NAMES
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.padding import pad_batch

RunBatch = Callable[[dict[str, np.ndarray]], np.ndarray]


def run_batches(
    run: RunBatch,
    encoded: EncodedTexts,
    batch_size: int,
    padded_length: Callable[[int], int] = lambda length: length,
) -> np.ndarray:
    """Run examples in batches of similar length.

    Args:
        run: Called with `ids`, `mask` and `segment_ids`, int32 (batch, length); returns (batch, outputs).
        encoded: The examples.
        batch_size: Examples per batch.
        padded_length: Length of the longest example of a batch → padded length of the batch.

    Returns:
        Outputs, float32 (examples, outputs), in the order of the examples.
    """
    by_length = np.argsort(encoded.lengths, kind="stable")
    batches = [by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size)]
    outputs = np.concatenate(
        [run(batch_inputs(encoded, rows, padded_length(int(encoded.lengths[rows[-1]])))) for rows in batches]
    )
    ordered = np.empty_like(outputs)
    ordered[by_length] = outputs
    return ordered


def batch_inputs(encoded: EncodedTexts, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Return the inputs of an exported file for the examples `rows`, by the names of `INPUT_NAMES`.

    Args:
        encoded: The examples.
        rows: Positions of the examples, (batch,).
        length: Padded length in tokens.
    """
    padded = pad_batch(encoded, rows, length)
    return dict(zip(INPUT_NAMES, (padded["token_ids"], padded["padding_mask"], padded["segment_ids"]), strict=True))
