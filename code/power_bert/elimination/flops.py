"""Floating-point operations of one forward pass, by named terms.

Assumptions:

* A multiply-add counts 2, any other addition, multiplication, division, comparison or exponential 1.
* An example of n tokens goes through alone, so the only padding is what the caller puts into `lengths`.
* Attention (projections, scores, softmax, weighted sum) works on the tokens that enter a block; extraction follows,
  and the feed-forward works on the tokens that are left (`Retention.left_after`).
* Elementwise work is counted per element, as in ELECTRA's counter where it has the term: bias 1, residual sum 1,
  layer norm 5, softmax 5 (and 1 for the mask), activation (GELU, tanh) 8.
* Embeddings: two sums and a layer norm; the look-ups in the tables cost no arithmetic.
* Significance is counted in the blocks that extract: one sum over heads, one product that takes the diagonal out, one
  product with the mask. Sorting and gathering move data and count nothing. A fraction of 1.0 is no extraction.
* A block that keeps ``[CLS]`` alone computes the attention of ``[CLS]`` alone and ranks nothing. The last block of
  every classifier does, as no other token reaches the head, so that is no part of a speed-up.
* A block that fuses what it drops passes one token more on, also of an example of which it drops none: the weighted sum
  over all tokens that enter counts as fusing, and the feed-forward works on the fused token too.
* The pooler and the head work on the ``[CLS]`` vector alone. Dropout does nothing in a forward pass.
* Scores are dot products. What the other similarities add grows with n only and is left out.

FLOPs are counted, not measured: `power_bert.benchmarks.latency` measures the time that is really saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from power_bert.elimination.retention import FRACTION, Retention

_BIAS = 1
_RESIDUAL = 1
_LAYER_NORM = 5
_SOFTMAX = 5 + 1
_ACTIVATION = 8
_FUSING_WEIGHT = 4  # smallest weight, mask, sum and division


@dataclass(frozen=True)
class EncoderShape:
    """The sizes of a model that decide its FLOPs.

    Attributes:
        hidden_dim: Dimension of the hidden states.
        head_dim: Dimension of an attention head.
        heads: Attention heads of each block.
        neurons: Feed-forward neurons of each block.
        num_classes: Outputs of the head; 1 for regression.
        fuse_dropped: Whether blocks fuse the tokens that they drop.
    """

    hidden_dim: int
    head_dim: int
    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    num_classes: int
    fuse_dropped: bool = False

    @classmethod
    def of(cls, backbone_config: Mapping[str, Any], num_classes: int) -> EncoderShape:
        """Return the shape of a `PowerBertBackbone.get_config()` and the outputs of the head (1 for regression)."""
        config, layers = backbone_config, int(backbone_config["num_layers"])
        heads, neurons = (per_block(config[name], layers) for name in ("num_heads", "intermediate_dim"))
        head_dim = config.get("head_dim") or config["hidden_dim"] // heads[0]
        fuse_dropped = bool(config.get("fuse_dropped"))
        return cls(int(config["hidden_dim"]), int(head_dim), heads, neurons, num_classes, fuse_dropped)

    @property
    def num_layers(self) -> int:
        return len(self.heads)


def per_block(size: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """Return the size of each block, given that of all blocks or one per block.

    Raises:
        ValueError: There is not one per block, or one is less than 1.
    """
    sizes = (size,) * num_layers if isinstance(size, int) else tuple(int(each) for each in size)
    if len(sizes) != num_layers or min(sizes) < 1:
        raise ValueError(f"{size}: expected a positive size, or one per block, of which there are {num_layers}")
    return sizes


@dataclass(frozen=True)
class Flops:
    """FLOPs of a forward pass over several examples.

    Attributes:
        terms: Name of the term → FLOPs of all blocks and examples.
        blocks: FLOPs of each encoder block, all examples; embeddings, pooler and head are not in it.
        examples: Number of examples.
    """

    terms: dict[str, int]
    blocks: tuple[int, ...]
    examples: int

    @property
    def total(self) -> int:
        return sum(self.terms.values())

    @property
    def per_example(self) -> float:
        """Mean FLOPs of an example."""
        return self.total / self.examples


def forward_flops(shape: EncoderShape, lengths: Sequence[int], retention: Retention | None = None) -> Flops:
    """Count the FLOPs of a forward pass of a classifier.

    Args:
        shape: Sizes of the model.
        lengths: Tokens of each example, (examples,). Without padding this is the least that the model needs; give
            padded lengths to count what padding adds.
        retention: Retention configuration; None eliminates nothing.

    Raises:
        ValueError: There are no examples, one has no tokens, or `retention` does not have one value per block.
    """
    if not len(lengths) or min(lengths) < 1:
        raise ValueError("expected at least one example, and at least one token in each")
    retention = Retention(FRACTION, (1.0,) * shape.num_layers) if retention is None else retention
    if len(retention.values) != shape.num_layers:
        raise ValueError(f"{len(retention.values)} retention values for {shape.num_layers} encoder blocks")
    different, examples = np.unique(np.asarray(lengths, dtype=np.int64), return_counts=True)
    terms: Counter[str] = Counter()
    blocks = []
    entering = different
    for block, (heads, neurons) in enumerate(zip(shape.heads, shape.neurons, strict=True)):
        cls_alone = block == shape.num_layers - 1 or retention.keeps_cls_alone(block)
        fused = int(shape.fuse_dropped and retention.fuses(block))
        left = np.ones_like(entering) if cls_alone else retention.left_after(block, different) + fused
        queries = np.ones_like(entering) if cls_alone else entering
        ranks = not cls_alone and not retention.keeps_all(block)
        block_terms = _sum_over(
            examples,
            count_attention(shape, heads, entering, queries, ranks) | count_feed_forward(shape, neurons, left),
        )
        terms.update(block_terms)
        blocks.append(sum(block_terms.values()))
        entering = left
    terms.update(_sum_over(examples, count_ends(shape, different)))
    return Flops(dict(terms), tuple(blocks), len(lengths))


def _sum_over(examples: np.ndarray, terms: Mapping[str, Any]) -> dict[str, int]:
    """Sum terms, a number or (lengths,) each, over `examples` of each length, (lengths,)."""
    return {name: int(np.sum(examples * flops)) for name, flops in terms.items()}


def count_attention(
    shape: EncoderShape, heads: Any, entering: Any, queries: Any, ranks: bool = False
) -> dict[str, Any]:
    """Count the attention of one block for one example, up to its layer norm; all sizes can be arrays.

    Args:
        shape: Sizes of the model.
        heads: Attention heads of the block.
        entering: Tokens that enter the block.
        queries: Tokens that attend: all that enter, or ``[CLS]`` alone.
        ranks: Whether tokens are ranked by significance.
    """
    hidden, width, pairs = shape.hidden_dim, heads * shape.head_dim, queries * entering
    fusing = {"fusing": entering * (_FUSING_WEIGHT + 2 * hidden) if ranks else 0} if shape.fuse_dropped else {}
    return {
        "qkv_projections": (queries + 2 * entering) * _dense(hidden, width),
        "attention_scores": 2 * pairs * width,
        "attention_softmax": _SOFTMAX * pairs * heads,
        "attention_weighted_sum": 2 * pairs * width,
        "attention_output_projection": queries * _dense(width, hidden),
        "attention_residual_and_layer_norm": queries * hidden * (_RESIDUAL + _LAYER_NORM),
        "significance": pairs * (heads + 1 + 2) if ranks else 0,
        **fusing,
    }


def count_feed_forward(shape: EncoderShape, neurons: Any, left: Any) -> dict[str, Any]:
    """Count the feed-forward layer of one block for one example, up to its layer norm; all sizes can be arrays.

    Args:
        shape: Sizes of the model.
        neurons: Feed-forward neurons of the block.
        left: Tokens that the block keeps.
    """
    hidden = shape.hidden_dim
    return {
        "feed_forward": left * (_dense(hidden, neurons) + _dense(neurons, hidden)),
        "feed_forward_activation": left * neurons * _ACTIVATION,
        "feed_forward_residual_and_layer_norm": left * hidden * (_RESIDUAL + _LAYER_NORM),
    }


def count_ends(shape: EncoderShape, length: Any) -> dict[str, Any]:
    """Count what lies before and after the encoder blocks, for one example of `length` tokens."""
    hidden = shape.hidden_dim
    return {
        "embeddings": length * hidden * (2 + _LAYER_NORM),
        "pooler": _dense(hidden, hidden) + hidden * _ACTIVATION,
        "head": _dense(hidden, shape.num_classes),
    }


def _dense(inputs: Any, outputs: Any) -> Any:
    """Count a dense layer on one vector."""
    return outputs * (2 * inputs + _BIAS)
