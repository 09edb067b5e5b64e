"""Floating-point operations of one forward pass, by named terms.

Assumptions:

* A multiply-add counts 2, any other addition, multiplication, division, comparison or exponential 1.
* An example of n words goes through alone, so the only padding is what the caller puts into `lengths`.
* Attention (projections, scores, softmax, weighted sum) works on the words that enter a block; extraction follows,
  and the feed-forward works on the words that are left. A float of the retention is a share of the words of the
  whole example, and no block keeps more than the one before it.
* Elementwise work is counted per element, as in ELECTRA's counter where it has the term: bias 1, residual sum 1,
  layer norm 5, softmax 5 (and 1 for the mask), activation (GELU, tanh) 8.
* Embeddings: two sums and a layer norm; the look-ups in the tables cost no arithmetic.
* Significance is counted in the blocks that extract: one sum over heads, one product that takes the diagonal out, one
  product with the mask. Sorting and gathering move data and count nothing. A share of 1.0 is no extraction.
* The pooler and the head work on the ``[CLS]`` vector alone. Dropout does nothing in a forward pass.
* Scores are dot products. What the other similarities add grows with n only and is left out.

FLOPs are not time: they say what could be saved, `power_bert.analysis.latency` what is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from power_bert.model.retention import is_fraction, kept_words

_BIAS = 1
_RESIDUAL = 1
_LAYER_NORM = 5
_SOFTMAX = 5 + 1
_ACTIVATION = 8


@dataclass(frozen=True)
class Shape:
    """The sizes of a model that decide its FLOPs."""

    num_layers: int
    hidden_dim: int
    intermediate_dim: int
    num_heads: int
    num_classes: int

    @classmethod
    def of(cls, backbone_config: Mapping[str, Any], num_classes: int) -> Shape:
        """The shape from `PowerBertBackbone.get_config()` and the outputs of the head (1 for regression)."""
        names = ("num_layers", "hidden_dim", "intermediate_dim", "num_heads")
        return cls(**{name: int(backbone_config[name]) for name in names}, num_classes=num_classes)


@dataclass(frozen=True)
class Flops:
    """FLOPs of a forward pass over some examples.

    Attributes:
        terms: name of the term → FLOPs of all blocks and examples.
        blocks: FLOPs of each encoder block, all examples; embeddings, pooler and head are not in it.
        examples: number of examples.
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


def forward_flops(shape: Shape, lengths: Sequence[int], retention: Sequence[int | float] | None = None) -> Flops:
    """FLOPs of a forward pass of a classifier.

    Args:
        shape: sizes of the model.
        lengths: words of each example, (examples,). Without padding this is the least that the model needs; give
            padded lengths to count what padding adds.
        retention: retention configuration (`power_bert.model.retention`), one value a block; None keeps all words.

    Raises:
        ValueError: there are no examples, one has no words, or `retention` has not one value a block.
    """
    if not len(lengths) or min(lengths) < 1:
        raise ValueError("expected at least one example, and at least one word in each")
    if retention is not None and len(retention) != shape.num_layers:
        raise ValueError(f"{len(retention)} retention values for {shape.num_layers} encoder blocks")
    terms: Counter[str] = Counter()
    blocks = [0] * shape.num_layers
    for length, examples in Counter(int(length) for length in lengths).items():
        flops_of_blocks = [
            _block_terms(shape, entering, left, extracts)
            for entering, left, extracts in _words_of_blocks(shape.num_layers, length, retention)
        ]
        for block, block_terms in enumerate(flops_of_blocks):
            blocks[block] += examples * sum(block_terms.values())
        for part in (*flops_of_blocks, _ends_terms(shape, length)):
            terms.update({name: examples * flops for name, flops in part.items()})
    return Flops(dict(terms), tuple(blocks), len(lengths))


def speedup(shape: Shape, lengths: Sequence[int], retention: Sequence[int | float] | None) -> float:
    """How many times fewer FLOPs elimination needs: FLOPs without over FLOPs with it, on the same examples.

    Args:
        shape: sizes of the model.
        lengths: words of each example, (examples,), without padding, so that padding is not counted as a saving.
        retention: retention configuration; None keeps all words.
    """
    return forward_flops(shape, lengths).total / forward_flops(shape, lengths, retention).total


def block_coefficients(shape: Shape) -> tuple[float, float, float]:
    """(q, a, c): FLOPs of a block that extracts are q·e² + a·e + c·l, of e words that enter and l that are left."""
    one, two, left = (
        float(sum(_block_terms(shape, entering, left, extracts=True).values()))
        for entering, left in ((1, 0), (2, 0), (0, 1))
    )
    quadratic = (two - 2 * one) / 2
    return quadratic, one - quadratic, left


def _words_of_blocks(
    num_layers: int, length: int, retention: Sequence[int | float] | None
) -> list[tuple[int, int, bool]]:
    """For each block: words that enter, words that are left after its extraction, and whether it extracts."""
    if retention is None:
        return [(length, length, False)] * num_layers
    words, entering = [], length
    as_fraction = is_fraction(retention)
    for value in retention:
        value = float(value) if as_fraction else value
        left = min(entering, kept_words(value, length))
        words.append((entering, left, not (as_fraction and value == 1.0)))
        entering = left
    return words


def _block_terms(shape: Shape, entering: int, left: int, extracts: bool) -> dict[str, int]:
    """FLOPs of one encoder block for one example, of which `entering` words enter and `left` are kept."""
    hidden, intermediate = shape.hidden_dim, shape.intermediate_dim
    pairs = entering * entering
    return {
        "qkv_projections": entering * 3 * _dense(hidden, hidden),
        "attention_scores": 2 * pairs * hidden,
        "attention_softmax": _SOFTMAX * pairs * shape.num_heads,
        "attention_weighted_sum": 2 * pairs * hidden,
        "attention_output_projection": entering * _dense(hidden, hidden),
        "feed_forward": left * (_dense(hidden, intermediate) + _dense(intermediate, hidden)),
        "feed_forward_activation": left * intermediate * _ACTIVATION,
        "residuals_and_layer_norms": (entering + left) * hidden * (_RESIDUAL + _LAYER_NORM),
        "significance": pairs * (shape.num_heads + 1 + 2) if extracts else 0,
    }


def _ends_terms(shape: Shape, length: int) -> dict[str, int]:
    """FLOPs before and after the encoder blocks, for one example."""
    hidden = shape.hidden_dim
    return {
        "embeddings": length * hidden * (2 + _LAYER_NORM),
        "pooler": _dense(hidden, hidden) + hidden * _ACTIVATION,
        "head": _dense(hidden, shape.num_classes),
    }


def _dense(inputs: int, outputs: int) -> int:
    """FLOPs of a dense layer on one vector."""
    return outputs * (2 * inputs + _BIAS)
