"""Token elimination between self-attention and feed-forward (Goyal et al. 2020, section 3.2): tensors get shorter.

The tokens of low significance are dropped, so that the feed-forward layer of the block and all later blocks work on
fewer. Optionally they are fused into one token (Liang et al. 2022, EViT, https://arxiv.org/abs/2202.07800).
`power_bert.elimination.search` has the soft extraction that learns how many to keep.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.elimination.retention import Retention
from power_bert.elimination.significance import protected_scores

Tensor = Any
# Added to the significance of each fused token, so that the weights of tokens without any attention are defined.
SMALLEST_WEIGHT = 1e-6


def gather_words(hidden_states: Tensor, positions: Tensor) -> Tensor:
    """Gather the rows `positions` (batch, kept) of `hidden_states` (batch, length, hidden): (batch, kept, hidden).

    This gathers rows of a flat table, which on CPUs is several times faster than take_along_axis in both passes.
    """
    batch, length, hidden_dim = ops.shape(hidden_states)
    first_rows = ops.expand_dims(ops.arange(batch, dtype="int32") * length, 1)  # (batch, 1)
    rows = ops.reshape(hidden_states, (-1, hidden_dim))  # (batch · length, hidden)
    return ops.take(rows, positions + first_rows, axis=0)  # (batch, kept, hidden)


def select_words(scores: Tensor, visibility: Tensor, slots: int | Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Select the most significant tokens, in their order in the sequence.

    Args:
        scores: Significance, (batch, length).
        visibility: (batch, length); 0 marks padding.
        slots: Tokens that the batch keeps, 1 ≤ slots ≤ length.
        kept: Tokens that each example keeps, int32 (batch,), at most its number of tokens.

    Returns:
        Positions, int32 (batch, slots): unfilled slots come last and repeat the last position of the sequence; and
        whether each slot is filled, bool (batch, slots).
    """
    length = ops.shape(scores)[1]
    _, chosen = ops.top_k(protected_scores(scores, visibility), slots)  # (batch, slots), by descending significance
    filled = ops.expand_dims(ops.arange(slots, dtype="int32"), 0) < ops.expand_dims(kept, 1)  # (batch, slots)
    positions = ops.sort(ops.where(filled, ops.cast(chosen, "int32"), length), axis=-1)
    return ops.minimum(positions, length - 1), positions < length


def fuse_tokens(hidden_states: Tensor, scores: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Fuse the dropped tokens into one: their mean, weighted by significance.

    This is the inattentive token fusion of EViT, whose weights are not normalized: here they sum to 1, so that the
    fused token has the scale of the others however many it stands for.

    Args:
        hidden_states: (batch, length, hidden).
        scores: Significance, (batch, length).
        dropped: Whether each token is dropped, bool (batch, length); False for padding.

    Returns:
        The fused token (batch, 1, hidden), zeros for an example that drops none; and whether it drops any, bool
        (batch, 1).
    """
    weights = ops.where(dropped, ops.cast(scores, "float32") + SMALLEST_WEIGHT, 0.0)  # (batch, length)
    weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), SMALLEST_WEIGHT)
    fused = ops.matmul(ops.expand_dims(ops.cast(weights, hidden_states.dtype), 1), hidden_states)  # (batch, 1, hidden)
    return fused, ops.any(dropped, axis=1, keepdims=True)


@keras.saving.register_keras_serializable(package="power_bert")
class HardExtraction(keras.layers.Layer):
    """Keeps the most significant tokens and drops the others: the tensors get shorter.

    ``[CLS]`` is always kept, padding never before a token, and the kept tokens stay in their order. With `fuse` the
    dropped ones become one token, which follows the kept ones.

    Args:
        keep: The block's value of a retention configuration in its stored form: an integer counts tokens, a float is
            a fraction of each example's tokens.
        jitter: In training, significance is multiplied by exp(jitter · N(0, 1)) before tokens are selected; 0 disables
            it. The classifier then depends less on which of two nearly equal tokens is kept, a choice that int8
            quantization can change. Routers of experts are jittered alike (Fedus et al. 2021, section 2.2).
        fuse: Whether the dropped tokens become one token (`fuse_tokens`), the last of the sequence. It is invisible in
            an example that drops none.
        after_fused: Whether the sequence ends in the fused token of the block before. It is not ranked but dropped, so
            that it becomes part of this layer's fused token.
    """

    def __init__(
        self, keep: int | float, jitter: float = 0.0, fuse: bool = False, after_fused: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.keep, self.jitter, self.fuse, self.after_fused = keep, jitter, fuse, after_fused
        self._retention = Retention.of([keep])
        self.seed_generator = keras.random.SeedGenerator() if jitter else None

    @property
    def keeps_cls_alone(self) -> bool:
        """Whether only ``[CLS]`` is kept of every example, so that nothing needs to be ranked."""
        return self._retention.keeps_cls_alone(0)

    def _kept(self, lengths: Any) -> Any:
        """Count the tokens kept of `lengths` original ones: a tensor for a tensor, a Python integer for one."""
        return self._retention.left_after(0, lengths, np if isinstance(lengths, int) else ops)

    def select(self, visibility: Tensor, scores: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Select the tokens that are kept; arguments as for `call`, results as of `select_words`."""
        if self.after_fused:
            visibility, scores = visibility[:, :-1], scores[:, :-1]
        length, kept = ops.shape(scores)[1], self._kept(ops.shape(padding_mask)[1])
        both_static = isinstance(length, int) and isinstance(kept, int)
        slots = min(kept, length) if both_static else ops.minimum(kept, length)
        token_counts = ops.sum(ops.cast(padding_mask, "int32"), axis=1)  # (batch,)
        left_here = ops.sum(ops.cast(visibility > 0, "int32"), axis=1)  # (batch,)
        kept_of_each = ops.minimum(self._kept(token_counts), left_here)
        return select_words(scores, visibility, slots, kept_of_each)

    def call(
        self,
        hidden_states: Tensor,
        visibility: Tensor,
        scores: Tensor,
        padding_mask: Tensor,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Shorten the batch.

        Args:
            hidden_states: (batch, length, hidden).
            visibility: (batch, length).
            scores: Significance, (batch, length).
            padding_mask: Mask of the whole input, (batch, original length): fractions are of the original tokens.
            training: Whether significance is jittered.

        Returns:
            Hidden states (batch, kept, hidden) and visibility (batch, kept); with `fuse`, kept includes the fused
            token.
        """
        ranked = scores
        if training and self.jitter:
            noise = keras.random.normal(ops.shape(scores), dtype=scores.dtype, seed=self.seed_generator)
            ranked = scores * ops.exp(self.jitter * noise)
        positions, filled = self.select(visibility, ranked, padding_mask)  # (batch, slots) each
        kept, kept_visibility = gather_words(hidden_states, positions), ops.cast(filled, visibility.dtype)
        if not self.fuse:
            return kept, kept_visibility
        all_positions = ops.arange(ops.shape(scores)[1], dtype="int32")
        chosen = ops.equal(ops.expand_dims(positions, 2), all_positions)  # (batch, slots, length)
        is_kept = ops.any(ops.logical_and(chosen, ops.expand_dims(filled, 2)), axis=1)  # (batch, length)
        dropped = ops.logical_and(visibility > 0, ops.logical_not(is_kept))  # (batch, length)
        fused, is_there = fuse_tokens(hidden_states, scores, dropped)
        return (
            ops.concatenate([kept, fused], axis=1),  # (batch, slots + 1, hidden)
            ops.concatenate([kept_visibility, ops.cast(is_there, visibility.dtype)], axis=1),  # (batch, slots + 1)
        )

    def compute_output_spec(
        self, hidden_states: Any, visibility: Any, scores: Any, padding_mask: Any, training: Any = None
    ) -> Any:
        batch, length, hidden_dim = hidden_states.shape
        original = padding_mask.shape[1]
        known = length is not None and original is not None
        kept = min(self._kept(original), length - self.after_fused) + self.fuse if known else None
        return (
            keras.KerasTensor((batch, kept, hidden_dim), self.compute_dtype),
            keras.KerasTensor((batch, kept), visibility.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        arguments = {"keep": self.keep, "jitter": self.jitter, "fuse": self.fuse, "after_fused": self.after_fused}
        return {**super().get_config(), **arguments}
