"""How much attention each word-vector receives (Goyal et al. 2020, section 3.2)."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def significance(probabilities: Tensor, visibility: Tensor) -> Tensor:
    """Attention that the visible words pay to each word, summed over heads and query positions.

    Differs from equation (1) of the paper in two ways: a word's attention to itself does not count, and a
    padding position (visibility 0) pays none, so that the ranking does not depend on the padding of a batch.

    Args:
        probabilities: attention probabilities, (batch, heads, query, key).
        visibility: weight of each query position, (batch, query): 1 for a word, 0 for padding or an
            eliminated word, in between during the soft search.

    Returns:
        (batch, key), non-negative, in the dtype of `probabilities`. No gradient flows through it.
    """
    over_heads = ops.sum(ops.stop_gradient(probabilities), axis=1)
    positions = ops.arange(ops.shape(over_heads)[-1])
    others = ops.cast(ops.expand_dims(positions, 0) != ops.expand_dims(positions, 1), over_heads.dtype)
    weights = ops.expand_dims(ops.cast(ops.stop_gradient(visibility), over_heads.dtype), 1)
    return ops.squeeze(ops.matmul(weights, over_heads * others), axis=1)
