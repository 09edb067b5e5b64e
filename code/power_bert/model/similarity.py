"""Similarity scores between query and key vectors, before the softmax over keys.

Four pure functions with one signature; d is the head dimension, and the learned scale is one number per head:

| name      | score(q, k)            | learned scale             |
|-----------|------------------------|---------------------------|
| dot       | q·k / √d               | none                      |
| cosine    | cos(q, k) / τ          | τ, temperature, τ ≥ 0.01  |
| euclidean | −‖q − k‖ · s           | s, sharpness              |
| gaussian  | −‖q − k‖² / (2σ²)      | σ, width                  |

Each is a single matrix product: the squared distance is the product of the augmented vectors [−2q, ‖q‖², 1] and
[k, 1, ‖k‖²], so there is no further intermediate of size query × key. Distances are computed in float32 whatever the
compute dtype, because ‖q‖² + ‖k‖² − 2q·k cancels in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

Tensor = Any

# Lower bounds that keep the gradients of the norm and of the distance finite near zero.
SMALLEST_SQUARED_NORM = 1e-6
SMALLEST_SQUARED_SCORE = 1e-6
SMALLEST_SCALE = 0.01


def dot_scores(query: Tensor, key: Tensor, scale: Tensor | None = None) -> Tensor:
    """Compute the scaled dot product, q·k / √d (Vaswani et al. 2017, equation 1).

    Args:
        query: Query vectors, (batch, heads, query, d).
        key: Key vectors, (batch, heads, key, d).
        scale: Ignored; all similarities share one signature.

    Returns:
        Scores, (batch, heads, query, key), in the dtype of `query`.
    """
    return _matmul_transposed(query * (query.shape[-1] ** -0.5), key)


def cosine_scores(query: Tensor, key: Tensor, scale: Tensor) -> Tensor:
    """Compute the cosine of the angle over a temperature, cos(q, k) / τ; zero if either vector is zero.

    Without the learned temperature all scores lie in [−1, 1] and the attention is nearly uniform.

    Args:
        query: Query vectors, (batch, heads, query, d).
        key: Key vectors, (batch, heads, key, d).
        scale: Learned scale τ, (heads,); values below 0.01 count as 0.01.

    Returns:
        Scores, (batch, heads, query, key), in the dtype of `query`.
    """
    temperature = ops.cast(_per_head(scale), query.dtype)
    return _matmul_transposed(_unit_vectors(query) / temperature, _unit_vectors(key))


def euclidean_scores(query: Tensor, key: Tensor, scale: Tensor) -> Tensor:
    """Compute the negative distance times a sharpness, −‖q − k‖ · s (the distance itself, not its square).

    Args:
        query: Query vectors, (batch, heads, query, d).
        key: Key vectors, (batch, heads, key, d).
        scale: Learned scale s, (heads,); values below 0.01 count as 0.01.

    Returns:
        Scores, (batch, heads, query, key), in the dtype of `query`. Scores above −0.001 are set to −0.001, where the
        gradient is zero.
    """
    left, right = _augmented(query, key)
    # The scale is inside the root: fewer operations on query × key values, which dominate at sequence length 512.
    squared = _matmul_transposed(left * ops.square(_per_head(scale)), right)
    return -ops.cast(ops.sqrt(ops.maximum(squared, SMALLEST_SQUARED_SCORE)), query.dtype)


def gaussian_scores(query: Tensor, key: Tensor, scale: Tensor) -> Tensor:
    """Compute the exponent of a Gaussian kernel, −‖q − k‖² / (2σ²).

    Args:
        query: Query vectors, (batch, heads, query, d).
        key: Key vectors, (batch, heads, key, d).
        scale: Learned scale σ, (heads,); values below 0.01 count as 0.01.

    Returns:
        Scores, float32 (batch, heads, query, key).
    """
    left, right = _augmented(query, key)
    return _matmul_transposed(left * (-0.5 / ops.square(_per_head(scale))), right)


def _matmul_transposed(left: Tensor, right: Tensor) -> Tensor:
    """Multiply (batch, heads, query, d) and (batch, heads, key, d) → (batch, heads, query, key)."""
    return ops.matmul(left, ops.transpose(right, (0, 1, 3, 2)))


def _per_head(scale: Tensor) -> Tensor:
    """Reshape (heads,) → float32 (heads, 1, 1), bounded away from zero."""
    return ops.reshape(ops.maximum(ops.cast(scale, "float32"), SMALLEST_SCALE), (-1, 1, 1))


def _unit_vectors(vectors: Tensor) -> Tensor:
    squared_norm = ops.sum(ops.square(ops.cast(vectors, "float32")), axis=-1, keepdims=True)
    return vectors * ops.cast(ops.rsqrt(ops.maximum(squared_norm, SMALLEST_SQUARED_NORM)), vectors.dtype)


def _augmented(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Augment to two float32 tensors, (batch, heads, ·, d + 2), whose product is the squared distance of each pair."""
    query, key = ops.cast(query, "float32"), ops.cast(key, "float32")
    query_norm = ops.sum(ops.square(query), axis=-1, keepdims=True)  # (batch, heads, query, 1)
    key_norm = ops.sum(ops.square(key), axis=-1, keepdims=True)  # (batch, heads, key, 1)
    left = ops.concatenate([-2.0 * query, query_norm, ops.ones_like(query_norm)], axis=-1)
    right = ops.concatenate([key, ops.ones_like(key_norm), key_norm], axis=-1)
    return left, right


@dataclass(frozen=True)
class Similarity:
    """Score function and the initial value of its learned scale.

    Attributes:
        scores: (query, key, scale) → attention scores, (batch, heads, query, key).
        initial_scale: Head dimension → initial scale; None if the similarity has no learned scale.
    """

    scores: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    initial_scale: Callable[[int], float] | None


SIMILARITIES: dict[str, Similarity] = {
    "dot": Similarity(dot_scores, None),
    "cosine": Similarity(cosine_scores, lambda head_dim: 0.1),
    "euclidean": Similarity(euclidean_scores, lambda head_dim: 1.0),
    # σ² = √d: dot-product attention with a key-norm bias, so a dot-product checkpoint starts close to itself.
    "gaussian": Similarity(gaussian_scores, lambda head_dim: head_dim**0.25),
}
