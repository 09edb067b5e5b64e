"""Significance of a token, the attention that it receives, and its rank (Goyal et al. 2020, section 3.2)."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def significance(probabilities: Tensor, visibility: Tensor) -> Tensor:
    """Sum the attention that the visible tokens pay to each token, over heads h and query positions w'.

    Sig(w) = Σ_h Σ_w' v[w'] · A_h[w', w], w' ≠ w. Differs from equation (1) of the paper in two ways: a token's
    attention to itself does not count, and a padding position (visibility v = 0) pays none, so that the ranking does
    not depend on the padding of a batch.

    Args:
        probabilities: Attention probabilities A, (batch, heads, query, key).
        visibility: Weight v of each query position, (batch, query): 1 for a token, 0 for padding or an eliminated
            token, in between during the soft search.

    Returns:
        (batch, key), non-negative, in the dtype of `probabilities`. No gradient flows through it.
    """
    over_heads = ops.sum(ops.stop_gradient(probabilities), axis=1)  # (batch, query, key)
    positions = ops.arange(ops.shape(over_heads)[-1])
    others = ops.cast(ops.expand_dims(positions, 0) != ops.expand_dims(positions, 1), over_heads.dtype)  # (query, key)
    weights = ops.expand_dims(ops.cast(ops.stop_gradient(visibility), over_heads.dtype), 1)  # (batch, 1, query)
    return ops.squeeze(ops.matmul(weights, over_heads * others), axis=1)  # (batch, key)


def protected_scores(scores: Tensor, visibility: Tensor) -> Tensor:
    """Return significance with ``[CLS]`` above every token and padding below every token; (batch, length)."""
    position = ops.arange(ops.shape(scores)[1])
    scores = ops.where(ops.cast(visibility, scores.dtype) > 0, scores, -ops.ones_like(scores))
    # Significance is at most heads × length, far below 6e4, the largest round number of float16.
    return ops.where(ops.expand_dims(position, 0) == 0, ops.full_like(scores, 6e4), scores)


def ranks(scores: Tensor, visibility: Tensor) -> Tensor:
    """Rank each token by descending significance: int32 (batch, length), 0 for ``[CLS]``, padding last.

    Args:
        scores: Significance, (batch, length).
        visibility: (batch, length); 0 marks padding.
    """
    order = ops.argsort(-protected_scores(scores, visibility), axis=-1)
    return ops.cast(ops.argsort(order, axis=-1), "int32")
