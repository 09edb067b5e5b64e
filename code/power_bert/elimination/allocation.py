"""Choose what each encoder block keeps: the configuration of least loss at a given cost.

How much the loss rises if one block alone keeps fewer tokens, heads or neurons is measured beforehand (`LossCurves`).
Three assumptions make the best combination exact and quick to find:

* What heads and neurons add to the loss adds up over blocks, as in SPDY (Frantar & Alistarh 2022).
* A token costs what its elimination costs in the first block that drops it: with curves L_j and non-increasing
  fractions f_j, the tokens add Σ_j L_j(f_j) − L_j(f_{j−1}).
* The cost of a block depends on the tokens that enter it, those that it keeps, and its own heads and neurons.

So loss and cost are sums over pairs of neighboring blocks, and dynamic programming over what is left of the cost finds
the least loss, as in SPDY. A multiplier λ that weighs cost against loss would not do: it reaches only configurations on
the convex hull of the two, and with losses that rise steeply and level off (tokens alone, short texts) the next one
on the hull after a moderate configuration can be that which drops everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import PchipInterpolator

from power_bert.elimination.configuration import EncoderConfiguration
from power_bert.elimination.flops import EncoderShape, count_attention, count_ends, count_feed_forward
from power_bert.elimination.retention import CLS_ALONE, FRACTION, Retention

# A stage of a gradual search lowers the cost by at most this factor: what is measured does not hold for a much smaller
# model.
_LARGEST_STAGE = 1.7
# With a largest loss: the stages of a path, the end of a path, and the stages that a path has on small data sets.
_PATH_STAGE, _PATH_END, EXPECTED_STAGES = 1.4, 10.0, 4
# Kernels are fast if the number of neurons is a multiple of this.
NEURON_MULTIPLE = 32
# Fractions of tokens that are considered: multiples of this, and [CLS] alone.
_FRACTION_STEP = 0.025
# Steps in which the cost is counted, rounded up for each part of a block: with 12 blocks the result is at most 1.2 %
# cheaper than it need be.
_COST_STEPS = 2000


def stage_targets(target: float) -> list[float]:
    """Return the FLOPs reduction after each stage, in equal ratios."""
    stages = max(1, math.ceil(math.log(target) / math.log(_LARGEST_STAGE)))
    return [target ** (stage / stages) for stage in range(1, stages + 1)]


def path_targets(through: float | None) -> list[float]:
    """Return the FLOPs reduction after each stage of a path that ends where the loss is too large.

    Args:
        through: FLOPs reduction that is one of the stages, unless it is smaller than any; None for no such stage.
    """
    before = 0 if through is None else round(math.log(through) / math.log(_PATH_STAGE))
    ratio = through ** (1 / before) if through and before else _PATH_STAGE
    last = max(before, math.floor(math.log(_PATH_END) / math.log(ratio)))
    return [ratio**stage for stage in range(1, last + 1)]


@dataclass(frozen=True)
class LossCurves:
    """How the loss rises as one block keeps less, everything else as it is.

    Each curve is a tuple of (kept, loss), from what the block keeps now downwards; losses of one unit.

    Attributes:
        tokens: Kept as a fraction of each example's tokens; only the first point in the last block.
        heads: Kept attention heads.
        neurons: Kept feed-forward neurons.
    """

    tokens: tuple[tuple[float, float], ...]
    heads: tuple[tuple[int, float], ...]
    neurons: tuple[tuple[int, float], ...]


class EncoderCost(Protocol):
    """Cost of the parts of an encoder for an average example, in any unit; arrays over what may be kept.

    Attributes:
        fewer: What a cheaper encoder has or takes, for messages, such as "fewer FLOPs".
    """

    fewer: str

    def attention(self, heads: np.ndarray, entering: np.ndarray, cls_alone: bool, ranks: bool) -> np.ndarray:
        """Return the cost of the attention of a block, (options,).

        Args:
            heads: Numbers of heads, (options,).
            entering: Tokens of each different length that enter the block, (lengths,).
            cls_alone: Whether ``[CLS]`` alone attends.
            ranks: Whether tokens are ranked by significance.
        """
        ...

    def feed_forward(self, neurons: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Return the cost of the feed-forward layer of a block, (options,).

        Args:
            neurons: Numbers of neurons, (options,).
            left: Tokens of each different length that the block keeps, (lengths,).
        """
        ...

    @property
    def ends(self) -> float:
        """Cost of embeddings, pooler and head."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """Different lengths of the examples in tokens, (lengths,)."""
        ...


class FlopsCost:
    """`EncoderCost` in FLOPs.

    Args:
        shape: Sizes of the model.
        lengths: Tokens of the training examples, (examples,).
    """

    fewer = "fewer FLOPs"

    def __init__(self, shape: EncoderShape, lengths: Sequence[int]) -> None:
        self.shape = shape
        self.lengths, counts = np.unique(np.asarray(lengths, dtype=np.int64), return_counts=True)
        self._weights = counts / counts.sum()
        self.ends = float(self._weights @ sum(count_ends(shape, self.lengths).values()))

    def attention(self, heads: np.ndarray, entering: np.ndarray, cls_alone: bool, ranks: bool) -> np.ndarray:
        queries = np.ones_like(entering) if cls_alone else entering
        return self._mean(sum(count_attention(self.shape, heads[:, None], entering, queries, ranks).values()))

    def feed_forward(self, neurons: np.ndarray, left: np.ndarray) -> np.ndarray:
        return self._mean(sum(count_feed_forward(self.shape, neurons[:, None], left).values()))

    def _mean(self, flops: np.ndarray) -> np.ndarray:
        """Average (options, lengths) over the examples: (options,)."""
        return flops @ self._weights


def whole_cost(cost: EncoderCost, shape: EncoderShape) -> float:
    """Return the cost of an encoder that eliminates nothing; its last block computes ``[CLS]`` alone."""
    tokens, total = cost.lengths, cost.ends
    for block, (heads, neurons) in enumerate(zip(shape.heads, shape.neurons, strict=True)):
        is_last = block == shape.num_layers - 1
        total += float(cost.attention(np.array([heads]), tokens, is_last, ranks=False)[0])
        total += float(cost.feed_forward(np.array([neurons]), np.ones_like(tokens) if is_last else tokens)[0])
    return total


@dataclass(frozen=True)
class _Block:
    """Options of one block, with what each adds to the loss and to the cost.

    Attributes:
        token_loss: Loss of each level of tokens that are kept, (levels,), from all to ``[CLS]`` alone.
        heads: Numbers of heads, (options,).
        head_loss: (options,).
        head_cost: Cost of the attention by the level of the tokens that enter, (levels, options).
        head_cost_of_cls: The same if ``[CLS]`` alone attends, as no other token is kept.
        neurons: Numbers of neurons, (options,).
        neuron_loss: (options,).
        neuron_cost: Cost of the feed-forward layer by the level of the tokens that are kept, (levels, options).
    """

    token_loss: np.ndarray
    heads: np.ndarray
    head_loss: np.ndarray
    head_cost: np.ndarray
    head_cost_of_cls: np.ndarray
    neurons: np.ndarray
    neuron_loss: np.ndarray
    neuron_cost: np.ndarray


@dataclass(frozen=True)
class _Table:
    """Least loss of the blocks so far and one more part, by the level of tokens that it leaves and the cost.

    Attributes:
        loss: (levels, _COST_STEPS + 1); infinite if nothing is as cheap.
        option: Number of heads or neurons that has this loss, as an index, (levels, _COST_STEPS + 1).
        steps: Cost of each option, (levels, options).
    """

    loss: np.ndarray
    option: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, before: np.ndarray, rise: np.ndarray, steps: np.ndarray) -> _Table:
        """Choose the best option.

        Args:
            before: Least loss without this part, (levels, _COST_STEPS + 1).
            rise: What each option adds to the loss, (options,).
            steps: What it adds to the cost, (levels, options).
        """
        loss, option = np.full_like(before, np.inf), np.zeros(before.shape, np.int16)
        for level, index in np.ndindex(steps.shape):
            left = before.shape[1] - steps[level, index]
            if left > 0:
                candidate = before[level, :left] + rise[index]
                is_better = candidate <= loss[level, -left:]  # of equal ones the largest, which comes last
                loss[level, -left:][is_better] = candidate[is_better]
                option[level, -left:][is_better] = index
        return cls(loss, option, steps)


class Allocation:
    """Best configurations of an encoder by measured curves, for any cost.

    Args:
        curves: Curves of every block.
        cost: Cost of the encoder.
        fuse_dropped: Whether a block that drops tokens passes them on as one fused token.
    """

    def __init__(self, curves: Sequence[LossCurves], cost: EncoderCost, fuse_dropped: bool = False) -> None:
        self._cost = cost
        self._levels = np.append(np.arange(1.0, _FRACTION_STEP / 2, -_FRACTION_STEP), CLS_ALONE)  # (levels,)
        retentions = [Retention(FRACTION, (float(level),)) for level in self._levels]
        self._tokens = [
            each.left_after(0, cost.lengths) + int(fuse_dropped and each.fuses(0)) for each in retentions
        ]  # levels × (lengths,)
        self._blocks = [self._block(block, number == len(curves) - 1) for number, block in enumerate(curves)]

    def _block(self, curves: LossCurves, is_last: bool) -> _Block:
        heads, neurons = _options(curves.heads, 1), _options(curves.neurons, NEURON_MULTIPLE)
        one_token = np.ones_like(self._cost.lengths)
        token_loss = _rise(curves.tokens, self._levels)
        token_loss[self._levels > curves.tokens[0][0] + 1e-9] = np.inf if not is_last else 0.0
        attention, attention_of_cls = (
            np.stack([self._cost.attention(heads, tokens, cls_alone, not cls_alone) for tokens in self._tokens])
            for cls_alone in (False, True)
        )
        return _Block(
            token_loss=token_loss,
            heads=heads,
            head_loss=_rise(curves.heads, heads),
            head_cost=attention,
            head_cost_of_cls=attention_of_cls,
            neurons=neurons,
            neuron_loss=_rise(curves.neurons, neurons),
            neuron_cost=np.stack(
                [self._cost.feed_forward(neurons, one_token if is_last else left) for left in self._tokens]
            ),
        )

    def best(self, target: float) -> tuple[EncoderConfiguration, float]:
        """Return the configuration of least loss whose cost is at most `target`, and its cost.

        If none is as cheap, the cheapest one.
        """
        choices = self._least_loss(target) or [(len(self._levels) - 1, 0, 0)] * len(self._blocks)
        return self._configuration(choices), self._cost_of(choices)

    def _least_loss(self, target: float) -> list[tuple[int, int, int]] | None:
        """Return the level of tokens and the options of heads and neurons of each block; None if none is as cheap."""
        levels, step = len(self._levels), (target - self._cost.ends) / _COST_STEPS
        if step <= 0:
            return None
        loss = np.full((levels, _COST_STEPS + 1), np.inf)
        loss[0] = 0.0
        tables = []
        for number, block in enumerate(self._blocks):
            heads, heads_of_cls = (
                _Table.of(loss, block.head_loss, np.ceil(cost / step).astype(int))
                for cost in (block.head_cost, block.head_cost_of_cls)
            )
            of_tokens = self._token_loss(number)  # (entering, kept)
            entering, left = np.zeros(loss.shape, np.int16), np.full_like(loss, np.inf)
            for kept in range(levels):
                attended = heads_of_cls if kept == levels - 1 else heads
                total = attended.loss + of_tokens[:, kept, None]  # (entering, steps)
                entering[kept], left[kept] = total.argmin(axis=0), total.min(axis=0)
            neurons = _Table.of(left, block.neuron_loss, np.ceil(block.neuron_cost / step).astype(int))
            tables.append((heads, heads_of_cls, entering, neurons))
            loss = neurons.loss
        level, budget = levels - 1, _COST_STEPS  # the last block leaves [CLS] alone
        if not np.isfinite(loss[level, budget]):
            return None
        choices = []
        for heads, heads_of_cls, entering, neurons in reversed(tables):
            neuron = int(neurons.option[level, budget])
            budget -= neurons.steps[level, neuron]
            before, attended = int(entering[level, budget]), heads_of_cls if level == levels - 1 else heads
            head = int(attended.option[before, budget])
            budget -= attended.steps[before, head]
            choices.append((level, head, neuron))
            level = before
        return choices[::-1]

    def _token_loss(self, number: int) -> np.ndarray:
        """Return what the tokens that a block drops add to the loss, (entering, kept), infinite if impossible."""
        levels, losses = len(self._levels), self._blocks[number].token_loss
        entering = np.where(np.isfinite(losses), losses, 0.0)  # 0 for levels that the block does not have
        added = np.maximum(losses - entering[:, None], 0.0)
        if number == len(self._blocks) - 1:
            added = np.where(np.arange(levels) < levels - 1, np.inf, np.zeros((levels, 1)))
        added[np.tril_indices(levels, -1)] = np.inf  # no block keeps more than the one before it
        return added

    def _cost_of(self, choices: Sequence[tuple[int, int, int]]) -> float:
        cost, before = self._cost.ends, 0
        for block, (level, head, neuron) in zip(self._blocks, choices, strict=True):
            is_cls_alone = level == len(self._levels) - 1
            cost += (block.head_cost_of_cls if is_cls_alone else block.head_cost)[before, head]
            cost += block.neuron_cost[level, neuron]
            before = level
        return float(cost)

    def _configuration(self, choices: Sequence[tuple[int, int, int]]) -> EncoderConfiguration:
        blocks = list(zip(self._blocks, choices, strict=True))
        return EncoderConfiguration(
            Retention(FRACTION, tuple(round(float(self._levels[level]), 4) for level, *_ in choices)),
            tuple(int(block.heads[head]) for block, (_, head, _) in blocks),
            tuple(int(block.neurons[neuron]) for block, (*_, neuron) in blocks),
        )


def _options(curve: Sequence[tuple[int, float]], multiple: int) -> np.ndarray:
    """Return the numbers of units that may be kept: all, and if fewer were measured, every smaller multiple."""
    most = curve[0][0]
    return np.append(np.arange(multiple, most, multiple), most) if len(curve) > 1 else np.array([most])


def _rise(curve: Sequence[tuple[float, float]], kept: np.ndarray) -> np.ndarray:
    """Interpolate the rise of the loss over its first point; noise never makes keeping less look better."""
    points, losses = (np.array(values, dtype=np.float64) for values in zip(*curve, strict=True))
    if len(points) == 1:
        return np.zeros(len(kept))
    rise = np.maximum.accumulate(losses - losses[0])
    # Smooth and monotone: between straight lines only the measured points would ever be chosen.
    return PchipInterpolator(points[::-1], rise[::-1])(np.clip(kept, points[-1], points[0]))
