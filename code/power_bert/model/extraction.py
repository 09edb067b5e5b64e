"""Word-vector elimination between self-attention and feed-forward (Goyal et al. 2020, sections 3.2 and 3.3).

Hard extraction makes the tensors shorter; soft extraction weighs each word-vector by a learned retention
parameter of its rank. `SoftExtraction` with parameters that are all 0 or 1 under the visibility gate is, as far
as ``[CLS]`` can see, exactly `HardExtraction` with the matching retention.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from power_bert.model.retention import kept_words, share_of

Tensor = Any
GATES = ("visibility", "scale")
PROFILES = ("free", "step")
# Share of all ranks over which a step profile falls from 1 to 0.
STEP_WINDOW = 0.2


def ranks(scores: Tensor, visibility: Tensor) -> Tensor:
    """Rank of each word by descending significance: int32 (batch, length), 0 for ``[CLS]``, padding last.

    Args:
        scores: significance, (batch, length).
        visibility: (batch, length); 0 marks padding.
    """
    order = ops.argsort(-protected_scores(scores, visibility), axis=-1)
    return ops.cast(ops.argsort(order, axis=-1), "int32")


def protected_scores(scores: Tensor, visibility: Tensor) -> Tensor:
    """Significance with ``[CLS]`` above every word and padding below every word; (batch, length)."""
    position = ops.arange(ops.shape(scores)[1])
    scores = ops.where(ops.cast(visibility, scores.dtype) > 0, scores, -ops.ones_like(scores))
    # Significance is at most heads × length, far below 6e4, the largest round number of float16.
    return ops.where(ops.expand_dims(position, 0) == 0, ops.full_like(scores, 6e4), scores)


def gather_words(hidden_states: Tensor, positions: Tensor) -> Tensor:
    """Rows `positions` (batch, kept) of `hidden_states` (batch, length, hidden): (batch, kept, hidden).

    A flat row gather: on CPUs several times faster than take_along_axis, forwards and backwards.
    """
    batch, length, hidden_dim = ops.shape(hidden_states)
    first_rows = ops.expand_dims(ops.arange(batch, dtype="int32") * length, 1)
    return ops.take(ops.reshape(hidden_states, (-1, hidden_dim)), positions + first_rows, axis=0)


def select_words(scores: Tensor, visibility: Tensor, slots: int | Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the most significant words, in their order in the sentence, and which slots are filled.

    Args:
        scores: significance, (batch, length).
        visibility: (batch, length); 0 marks padding.
        slots: word-vectors that the batch keeps, 1 ≤ slots ≤ length.
        kept: word-vectors that each example keeps, int32 (batch,), at most its number of words.

    Returns:
        positions: int32 (batch, slots); unfilled slots come last and repeat the last position of the sequence.
        filled: bool (batch, slots).
    """
    length = ops.shape(scores)[1]
    _, chosen = ops.top_k(protected_scores(scores, visibility), slots)  # by descending significance
    filled = ops.expand_dims(ops.arange(slots, dtype="int32"), 0) < ops.expand_dims(kept, 1)
    positions = ops.sort(ops.where(filled, ops.cast(chosen, "int32"), length), axis=-1)
    return ops.minimum(positions, length - 1), positions < length


def soft_gates(retention: Tensor, rank: Tensor, word_counts: Tensor, unit: str) -> Tensor:
    """Retention parameter of each word: (batch, length), 1 for ``[CLS]``.

    With unit "tokens" the word of rank k has the parameter r[k]. With unit "fraction" the parameters are a
    density over relative rank: the word of rank k among n has the mean of r between k/n and (k + 1)/n, so the
    gates of an example add up to n · mass / parameters, the number of its words that the share will keep.

    Args:
        retention: parameters of the block, (parameters,), each in [0, 1].
        rank: int32 (batch, length) from `ranks`.
        word_counts: words of each example, int32 (batch,).
        unit: "tokens" or "fraction".
    """
    parameters = retention.shape[0]
    if unit == "tokens":
        gates = ops.take(retention, ops.minimum(rank, parameters - 1), axis=0)
    else:
        cumulative = ops.concatenate([ops.zeros((1,), retention.dtype), ops.cumsum(retention)])
        width = parameters / ops.cast(ops.expand_dims(word_counts, 1), retention.dtype)
        start = ops.cast(rank, retention.dtype) * width
        integral = _interpolate(cumulative, start + width) - _interpolate(cumulative, start)
        gates = integral / width
    return ops.where(rank == 0, ops.ones_like(gates), gates)


def _interpolate(values: Tensor, position: Tensor) -> Tensor:
    """Linear interpolation of `values` (points,) at fractional positions, clipped to the ends."""
    last = values.shape[0] - 1
    position = ops.clip(position, 0.0, float(last))
    lower = ops.minimum(ops.floor(position), float(last - 1))
    index = ops.cast(lower, "int32")
    low, high = ops.take(values, index, axis=0), ops.take(values, index + 1, axis=0)
    return low + (position - lower) * (high - low)


def step_profile(share: Tensor, parameters: int) -> Tensor:
    """Retention parameters of a block that keeps the `share` of its words that are most significant: (parameters,).

    1 for the words before the boundary, 0 for those after it, falling linearly over a window of STEP_WINDOW of all
    ranks. Only the words at the boundary have a gradient: what they are worth to the loss against λ · j.

    Args:
        share: (1,), in [0, 1]; all parameters are 1 at 1, and 0 at 0.
        parameters: number of ranks.
    """
    before_last = 1.0 - (ops.arange(parameters, dtype="float32") + 1.0) / parameters
    # Written so that at share 1 the last parameter is exactly 1 and not clipped: the search starts from its gradient.
    return ops.clip(1.0 + ((share - 1.0) * (1.0 + STEP_WINDOW) + before_last) / STEP_WINDOW, 0.0, 1.0)


class UnitInterval(keras.constraints.Constraint):
    """Clips retention parameters to [0, 1] and holds the first of many at 1: rank 0 is always ``[CLS]``."""

    def __call__(self, value: Tensor) -> Tensor:
        if value.shape[0] == 1:  # the share of a step profile
            return ops.clip(value, 0.0, 1.0)
        clipped = ops.clip(value, 0.0, 1.0)
        return ops.where(ops.arange(value.shape[0]) == 0, ops.ones_like(clipped), clipped)


class RetentionMass(keras.regularizers.Regularizer):
    """λ · j · mass(j), the regulariser of block j (Goyal et al. 2020, equation 3).

    Args:
        strength: λ.
        block: j, counted from 1: word-vectors eliminated early are saved in all later blocks.
        step_parameters: of a step profile, whose share is what is regularised, the number of its ranks.
    """

    def __init__(self, strength: float, block: int, step_parameters: int | None = None) -> None:
        self.strength, self.block, self.step_parameters = strength, block, step_parameters

    def __call__(self, value: Tensor) -> Tensor:
        parameters = value if self.step_parameters is None else step_profile(value, self.step_parameters)
        return self.strength * self.block * ops.sum(parameters)

    def get_config(self) -> dict[str, Any]:
        return {"strength": self.strength, "block": self.block, "step_parameters": self.step_parameters}


@keras.saving.register_keras_serializable(package="power_bert")
class SoftExtraction(keras.layers.Layer):
    """Weighs each word-vector by the retention parameter of its significance rank.

    Args:
        parameters: number of retention parameters, the maximum length of the search.
        gate: "visibility": an eliminated word can no longer be attended to in later blocks (r = 0 is exactly
            elimination as far as ``[CLS]`` can see); "scale": the word-vector is multiplied by r (the paper;
            the next layer norm can undo the scaling).
        unit: "fraction" or "tokens", see `soft_gates`.
        profile: "free": every parameter is learned by itself (the paper); "step": one share is learned, see
            `step_profile`. Under either gate free parameters can sink together at little cost, as attention and
            layer norm divide a common factor out, and then say nothing of what hard extraction will cost.
    """

    def __init__(
        self,
        parameters: int,
        gate: str = "visibility",
        unit: str = "fraction",
        profile: str = "free",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.parameters, self.gate, self.unit, self.profile = parameters, gate, unit, profile

    def build(self, hidden_states_shape: Any = None) -> None:
        learned = 1 if self.profile == "step" else self.parameters
        self.retention = self.add_weight(
            shape=(learned,), initializer="ones", constraint=UnitInterval(), name="retention", dtype="float32"
        )
        self.built = True

    def retention_by_rank(self) -> Tensor:
        """The retention parameters r_j[k], float32 (parameters,)."""
        learned = ops.cast(ops.convert_to_tensor(self.retention), "float32")
        return step_profile(learned, self.parameters) if self.profile == "step" else learned

    def call(
        self, hidden_states: Tensor, visibility: Tensor, scores: Tensor, padding_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns hidden states (batch, length, hidden) and visibility (batch, length), lengths unchanged."""
        word_counts = ops.sum(ops.cast(padding_mask, "int32"), axis=1)
        rank = ranks(scores, padding_mask)
        gates = ops.cast(soft_gates(self.retention_by_rank(), rank, word_counts, self.unit), visibility.dtype)
        if self.gate == "scale":
            return hidden_states * ops.cast(ops.expand_dims(gates, -1), hidden_states.dtype), visibility
        return hidden_states, visibility * gates

    def compute_output_spec(self, hidden_states: Any, visibility: Any, *args: Any, **kwargs: Any) -> Any:
        return (
            keras.KerasTensor(hidden_states.shape, self.compute_dtype),
            keras.KerasTensor(visibility.shape, visibility.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "parameters": self.parameters,
            "gate": self.gate,
            "unit": self.unit,
            "profile": self.profile,
        }


@keras.saving.register_keras_serializable(package="power_bert")
class HardExtraction(keras.layers.Layer):
    """Keeps the most significant word-vectors and drops the others: the tensors get shorter.

    ``[CLS]`` is always kept, padding never before a word, and the kept words stay in their order.

    Args:
        keep: an integer: word-vectors; a float: the share of each example's words, rounded up.
        jitter: in training, significance is multiplied by exp(jitter · N(0, 1)) before words are chosen, as routers
            of experts are shaken (Fedus et al. 2021, Switch Transformers, section 2.2): the classifier then does not
            hang on which of two nearly equal words is kept, which rounding to 8 bits can turn. 0 leaves it.
    """

    def __init__(self, keep: int | float, jitter: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep, self.jitter = keep, jitter
        self.seed_generator = keras.random.SeedGenerator() if jitter else None

    def _kept(self, lengths: Any) -> Any:
        """Word-vectors kept of `lengths` original ones: a tensor for a tensor, a Python integer for one."""
        if isinstance(lengths, int):
            return kept_words(self.keep, lengths)
        if isinstance(self.keep, int):
            return ops.minimum(lengths, self.keep)
        return ops.maximum(share_of(self.keep, lengths), 1)

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
            scores: significance, (batch, length).
            padding_mask: of the whole input, (batch, original length): shares are of the original words.

        Returns:
            hidden states (batch, kept, hidden) and visibility (batch, kept).
        """
        if training and self.jitter:
            noise = keras.random.normal(ops.shape(scores), dtype=scores.dtype, seed=self.seed_generator)
            scores = scores * ops.exp(self.jitter * noise)
        length, kept = ops.shape(scores)[1], self._kept(ops.shape(padding_mask)[1])
        both_static = isinstance(length, int) and isinstance(kept, int)
        slots = min(kept, length) if both_static else ops.minimum(kept, length)
        word_counts = ops.sum(ops.cast(padding_mask, "int32"), axis=1)
        words_here = ops.sum(ops.cast(visibility > 0, "int32"), axis=1)
        kept_of_each = ops.minimum(self._kept(word_counts), words_here)
        positions, filled = select_words(scores, visibility, slots, kept_of_each)
        return gather_words(hidden_states, positions), ops.cast(filled, visibility.dtype)

    def compute_output_spec(
        self, hidden_states: Any, visibility: Any, scores: Any, padding_mask: Any, training: Any = None
    ) -> Any:
        batch, length, hidden_dim = hidden_states.shape
        original = padding_mask.shape[1]
        kept = None if length is None or original is None else min(self._kept(original), length)
        return (
            keras.KerasTensor((batch, kept, hidden_dim), self.compute_dtype),
            keras.KerasTensor((batch, kept), visibility.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keep": self.keep, "jitter": self.jitter}
