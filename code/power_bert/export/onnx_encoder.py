"""The encoder as an ONNX graph whose batch and length are dynamic: hidden states really get shorter.

It computes what `PowerBertBackbone` computes at inference, and every export checks this. As in `inference_graph`, the
tokens that a block keeps stay in the order of their significance, `[CLS]` first; which slots are filled follows from
the number of tokens, so no mask is gathered; eliminated tokens are dropped before the output projection of the
attention, except in a block that fuses them; and where only `[CLS]` is left, only its attention is computed. Attention
probabilities, significance, the choice of tokens and fused tokens are in float32 in every form of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from power_bert.elimination.extraction import SMALLEST_WEIGHT, HardExtraction
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.export.onnx_builder import OnnxBuilder
from power_bert.model.attention import HIDDEN_KEY_BIAS, SimilarityAttention
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.encoder_block import EncoderBlock
from power_bert.model.similarity import SMALLEST_SCALE, SMALLEST_SQUARED_NORM, SMALLEST_SQUARED_SCORE

# Larger than the significance of any token, so that [CLS] always ranks first.
_CLS_BONUS = 6e4
_ACTIVATIONS: dict[str, Callable[[OnnxBuilder, str], str]] = {
    "gelu": lambda graph, value: str(graph.op("Gelu", value)),
    "gelu_tanh": lambda graph, value: str(graph.op("Gelu", value, approximate="tanh")),
    "relu": lambda graph, value: str(graph.op("Relu", value)),
    "tanh": lambda graph, value: str(graph.op("Tanh", value)),
    "silu": lambda graph, value: str(graph.op("Mul", value, graph.op("Sigmoid", value))),
}
_ACTIVATIONS["swish"] = _ACTIVATIONS["silu"]


def weights_of(variable: Any) -> np.ndarray:
    """Return the values of a weight, float32."""
    return np.asarray(ops.convert_to_numpy(variable), np.float32)


class _Tokens(NamedTuple):
    """Hidden states between two blocks.

    Attributes:
        hidden_states: (batch, length, hidden).
        visible: Which of them are tokens, integers (batch, length).
        end_in_fused: Whether the last one is a fused token.
    """

    hidden_states: str
    visible: str
    end_in_fused: bool = False


def add_encoder(graph: OnnxBuilder, backbone: PowerBertBackbone) -> str:
    """Add an encoder without extraction or with hard extraction; returns its pooled output, (batch, hidden)."""
    if backbone.activation not in _ACTIVATIONS:
        raise UserError(
            f"the model cannot be exported to ONNX: its activation {backbone.activation} is none of "
            f"{', '.join(_ACTIVATIONS)}; use --format litert"
        )
    num_tokens = graph.op("ReduceSum", graph.to_int("mask"), np.array([1], np.int64), keepdims=1)  # (batch, 1)
    with graph.part("embeddings"):
        hidden_states = _embed(graph, backbone)  # (batch, length, hidden)
    tokens = _Tokens(hidden_states, visible="mask")
    for number in range(backbone.num_layers):
        with graph.part(f"block_{number}"):
            tokens = _encode(graph, backbone, number, tokens, num_tokens)
    cls = graph.op("Gather", tokens.hidden_states, 0, axis=1)  # (batch, hidden)
    return str(graph.op("Tanh", _dense(graph, backbone.pooler, cls, "pooler")))


def _encode(graph: OnnxBuilder, backbone: PowerBertBackbone, number: int, tokens: _Tokens, num_tokens: str) -> _Tokens:
    """Run one encoder block.

    Args:
        graph: Graph to add to.
        backbone: Encoder of the block.
        number: Number of the block.
        tokens: What enters the block.
        num_tokens: Number of tokens of each example, int64 (batch, 1).

    Returns:
        The tokens that are left.
    """
    block, longest = backbone.blocks[number], backbone.max_sequence_length
    hidden_states, visible, after_fused = tokens
    retention = backbone.retention if backbone.extraction == "hard" else None
    fuses = isinstance(block.extraction, HardExtraction) and block.extraction.fuse
    if number > 0 and retention is not None and retention.left_after(number - 1, longest) == 1 and not after_fused:
        # Only `[CLS]` is left, whose attention to itself is 1.
        context = _dense(graph, block.attention.value, hidden_states, "value")
        return _Tokens(_feed_forward(graph, block, _add_attended(graph, block, hidden_states, context)), visible)
    drops_fused = after_fused and retention is not None and retention.keeps_cls_alone(number)
    if retention is None or not (_eliminates(retention, number, longest) or drops_fused):
        context, _ = _attend(graph, block.attention, hidden_states, hidden_states, visible)
        context = _kept_apart(graph, context, visible) if after_fused else context
        attended = _add_attended(graph, block, hidden_states, context)
        return tokens._replace(hidden_states=_feed_forward(graph, block, attended))
    if retention.left_after(number, longest) == 1 and not fuses:
        cls = graph.op("Slice", hidden_states, np.array([0]), np.array([1]), np.array([1]))  # (batch, 1, hidden)
        context, _ = _attend(graph, block.attention, cls, hidden_states, visible)
        return _Tokens(_feed_forward(graph, block, _add_attended(graph, block, cls, context)), visible)
    context, probabilities = _attend(graph, block.attention, hidden_states, hidden_states, visible)
    slots = _left_after(graph, retention, number, graph.size("ids", 1))  # (1,)
    # (batch, slots, 1) and (batch, 1, length)
    chosen, received = _most_significant(graph, probabilities, visible, slots, after_fused)
    if fuses:
        # (batch, length, hidden)
        attended = _add_attended(graph, block, hidden_states, _kept_apart(graph, context, visible))
        kept = _left_after(graph, retention, number, num_tokens)  # (batch, 1)
        filled = graph.to_int(graph.op("Less", graph.positions(slots), kept))  # (batch, slots)
        with_fused = _with_fused(graph, attended, received, visible, chosen, filled)
        graph.declare(with_fused, "batch", f"size:{slots}+1", backbone.hidden_dim)
        visible = graph.op("Concat", filled, graph.to_int(graph.op("Less", kept, num_tokens)), axis=1)
        return _Tokens(_feed_forward(graph, block, with_fused), visible, end_in_fused=True)
    width = block.attention.num_heads * block.attention.head_dim
    context, hidden_states = (
        graph.declare(graph.op("GatherND", values, chosen, batch_dims=1), "batch", f"size:{slots}", size)
        for values, size in ((context, width), (hidden_states, backbone.hidden_dim))
    )
    kept = _left_after(graph, retention, number, num_tokens)  # (batch, 1)
    visible = graph.to_int(graph.op("Less", graph.positions(slots), kept))  # (batch, slots)
    return _Tokens(_feed_forward(graph, block, _add_attended(graph, block, hidden_states, context)), visible)


def _kept_apart(graph: OnnxBuilder, context: str, visible: str) -> str:
    """Keep ONNX Runtime's optimizer from fusing the attention, by a product that changes padding alone.

    The fused attention returns no probabilities, which significance needs, and takes its mask as the number of leading
    tokens, which does not suit a fused token behind empty slots.
    """
    return str(graph.op("Mul", context, graph.expand(graph.to_float(visible), 2)))


def _with_fused(graph: OnnxBuilder, attended: str, received: str, visible: str, chosen: str, filled: str) -> str:
    """Gather the kept tokens and append the fused one, as `HardExtraction` does: (batch, slots + 1, hidden).

    Args:
        graph: Graph to add to.
        attended: Hidden states of all tokens, (batch, length, hidden).
        received: Their significance, (batch, 1, length).
        visible: Which of them are tokens, integers (batch, length).
        chosen: Positions of the slots, int64 (batch, slots, 1).
        filled: Which slots are filled, integers (batch, slots).
    """
    positions = graph.positions(graph.size(visible, 1))  # (length,)
    is_chosen = graph.to_float(graph.op("Equal", chosen, positions))  # (batch, slots, length)
    is_kept = graph.op("Mul", is_chosen, graph.expand(graph.to_float(filled), 2))
    is_kept = graph.op("ReduceMax", is_kept, np.array([1]), keepdims=1)  # (batch, 1, length)
    is_dropped = graph.op("Mul", graph.expand(graph.to_float(visible), 1), graph.op("Sub", 1.0, is_kept))
    weights = graph.op("Mul", graph.op("Add", received, SMALLEST_WEIGHT), is_dropped)  # (batch, 1, length)
    total = graph.op("ReduceSum", weights, np.array([2]), keepdims=1)  # (batch, 1, 1)
    weights = graph.op("Div", weights, graph.op("Max", total, SMALLEST_WEIGHT))
    fused = graph.op("MatMul", weights, attended, name="fused")  # (batch, 1, hidden)
    return str(graph.op("Concat", graph.op("GatherND", attended, chosen, batch_dims=1), fused, axis=1))


def _eliminates(retention: Retention, block: int, longest: int) -> bool:
    """Return whether a block drops tokens of an input of any length up to `longest`."""
    lengths = np.arange(1, longest + 1)
    before = lengths if block == 0 else retention.left_after(block - 1, lengths)
    return not np.array_equal(retention.left_after(block, lengths), before)


def _left_after(graph: OnnxBuilder, retention: Retention, block: int, lengths: str) -> str:
    """Count the tokens that are left after a block of inputs of `lengths` tokens, int64, as `Retention` does."""
    return str(retention.left_after(block, _Integers(graph, lengths), _Integers).name)


class _Integers:
    """int64 values of a graph with the arithmetic that `Retention.left_after` needs, so that it is written once."""

    def __init__(self, graph: OnnxBuilder, name: str) -> None:
        self.graph, self.name = graph, name

    def _op(self, kind: str, *inputs: Any) -> _Integers:
        names = [value.name if isinstance(value, _Integers) else value for value in inputs]
        return _Integers(self.graph, self.graph.op(kind, *names))

    def __rmul__(self, factor: int) -> _Integers:
        return self._op("Mul", self, factor)

    def __add__(self, other: int) -> _Integers:
        return self._op("Add", self, other)

    def __sub__(self, other: int) -> _Integers:
        return self._op("Sub", self, other)

    def __floordiv__(self, divisor: int) -> _Integers:
        # In floating point, because OpenVINO's division of integers rounds to the nearest one.
        quotient = self.graph.op("Floor", self.graph.op("Div", self.graph.to_float(self.name), float(divisor)))
        return _Integers(self.graph, self.graph.to_int(quotient))

    @staticmethod
    def minimum(value: int, other: _Integers) -> _Integers:
        return other._op("Min", other, value)

    @staticmethod
    def maximum(value: int, other: _Integers) -> _Integers:
        return other._op("Max", other, value)


def _embed(graph: OnnxBuilder, backbone: PowerBertBackbone) -> str:
    embeddings = backbone.embeddings
    token, position, segment = map(weights_of, (embeddings.token, embeddings.position, embeddings.segment))
    summed = graph.lookup(token, "ids", "token")  # (batch, length, hidden)
    zero, one = np.array([0]), np.array([1])
    positions = graph.op("Slice", graph.value(position, "position"), zero, graph.size("ids", 1), zero, one)
    summed = graph.declare(graph.op("Add", summed, positions), "batch", "length", backbone.hidden_dim)
    if len(segment) == 1:
        summed = graph.op("Add", summed, segment[0])
    else:
        summed = graph.op("Add", summed, graph.op("Gather", graph.value(segment, "segment"), "segment_ids"))
    return _layer_norm(graph, embeddings.norm, summed)


def _add_attended(graph: OnnxBuilder, block: EncoderBlock, hidden_states: str, context: str) -> str:
    """Add the attention to the hidden states and normalize, (batch, kept, hidden) each."""
    attended = _dense(graph, block.attention.output_projection, context, "attention_output")
    return _layer_norm(graph, block.attention_norm, graph.op("Add", attended, hidden_states))


def _feed_forward(graph: OnnxBuilder, block: EncoderBlock, hidden_states: str) -> str:
    """Apply the feed-forward layer and its layer norm to hidden states (batch, kept, hidden)."""
    inner = _ACTIVATIONS[block.activation](graph, _dense(graph, block.intermediate, hidden_states, "intermediate"))
    transformed = _dense(graph, block.output_projection, inner, "output")
    return _layer_norm(graph, block.output_norm, graph.op("Add", transformed, hidden_states))


def _attend(
    graph: OnnxBuilder, attention: SimilarityAttention, queries: str, hidden_states: str, visible: str
) -> tuple[str, str]:
    """Attend from `queries` (batch, query, hidden) to all tokens (batch, length, hidden).

    Returns:
        Context before the output projection (batch, query, hidden), and attention probabilities (batch, heads, query,
        length).
    """
    heads, head_dim = attention.num_heads, attention.head_dim

    def split_heads(layer: Any, vectors: str, name: str, order: tuple[int, ...] = (0, 2, 1, 3)) -> str:
        projected = _dense(graph, layer, vectors, name)
        split = graph.op("Reshape", projected, np.array([0, 0, heads, head_dim]))  # (batch, token, heads, head_dim)
        return str(graph.op("Transpose", split, perm=order))

    query = split_heads(attention.query, queries, "query")  # (batch, heads, query, head_dim)
    key = split_heads(attention.key, hidden_states, "key", (0, 2, 3, 1))  # (batch, heads, head_dim, length)
    value = split_heads(attention.value, hidden_states, "value")  # (batch, heads, length, head_dim)
    scores = _SCORES[attention.similarity](graph, query, key, attention)  # (batch, heads, query, length)
    hidden_keys = graph.op("Sub", 1.0, graph.to_float(graph.expand(graph.expand(visible, 1), 2)))
    scores = graph.op("Add", scores, graph.op("Mul", hidden_keys, HIDDEN_KEY_BIAS))
    probabilities = graph.op("Softmax", scores, axis=-1)
    context = graph.op("Transpose", graph.op("MatMul", probabilities, value), perm=(0, 2, 1, 3))
    return str(graph.op("Reshape", context, np.array([0, 0, heads * head_dim]))), str(probabilities)


def _most_significant(
    graph: OnnxBuilder, probabilities: str, visible: str, slots: str, after_fused: bool
) -> tuple[str, str]:
    """Choose the most significant tokens.

    The significance is that of `elimination.significance`. Padding receives no attention, so before the bias its
    significance is zero. A fused token at the end is not ranked.

    Returns:
        Positions, int64 (batch, slots, 1): `[CLS]` first, padding last; and the significance, (batch, 1, length).
    """
    visible = graph.to_float(visible)
    positions = graph.positions(graph.size(visible, 1))  # (length,)
    is_self = graph.op("Equal", graph.expand(positions, 0), graph.expand(positions, 1))  # (length, length)
    others = graph.op("Sub", 1.0, graph.to_float(is_self))
    summed = graph.op("ReduceSum", probabilities, np.array([1]), keepdims=0)  # (batch, query, key)
    received = graph.op("Mul", summed, others)
    received = graph.op("MatMul", graph.expand(visible, 1), received, name="significance")  # (batch, 1, length)
    bonus = graph.op("Mul", graph.to_float(graph.op("Equal", positions, 0)), _CLS_BONUS)  # (length,)
    scores = graph.op("Add", graph.op("Squeeze", received, np.array([1])), graph.op("Sub", visible, 1.0))
    scores = graph.op("Add", scores, bonus)  # (batch, length)
    if after_fused:
        scores = graph.op("Slice", scores, np.array([0]), np.array([-1]), np.array([1]))
    _, chosen = graph.op("TopK", scores, slots, outputs=2, name="TopK", axis=-1)
    return graph.expand(chosen, 2), received


def _dot_scores(graph: OnnxBuilder, query: str, key: str, attention: SimilarityAttention) -> str:
    # Divided after the product, which is the pattern of attention that ONNX Runtime fuses.
    return str(graph.op("Div", graph.op("MatMul", query, key, name="scores"), attention.head_dim**0.5))


def _cosine_scores(graph: OnnxBuilder, query: str, key: str, attention: SimilarityAttention) -> str:
    unit = graph.op("Div", _unit_vectors(graph, query, -1), _scale(attention))
    return str(graph.op("MatMul", unit, _unit_vectors(graph, key, -2), name="scores"))


def _euclidean_scores(graph: OnnxBuilder, query: str, key: str, attention: SimilarityAttention) -> str:
    squared = _squared_distances(graph, query, key, _scale(attention) ** 2)
    return str(graph.op("Neg", graph.op("Sqrt", graph.op("Max", squared, SMALLEST_SQUARED_SCORE))))


def _gaussian_scores(graph: OnnxBuilder, query: str, key: str, attention: SimilarityAttention) -> str:
    return _squared_distances(graph, query, key, -0.5 / _scale(attention) ** 2)


_SCORES = {
    "dot": _dot_scores,
    "cosine": _cosine_scores,
    "euclidean": _euclidean_scores,
    "gaussian": _gaussian_scores,
}


def _scale(attention: SimilarityAttention) -> np.ndarray:
    """Return the learned scale of each head, (heads, 1, 1)."""
    return np.maximum(weights_of(attention.scale), np.float32(SMALLEST_SCALE)).reshape(-1, 1, 1)


def _squared_norm(graph: OnnxBuilder, vectors: str, axis: int) -> str:
    return str(graph.op("ReduceSumSquare", vectors, np.array([axis]), keepdims=1))


def _unit_vectors(graph: OnnxBuilder, vectors: str, axis: int) -> str:
    squared = graph.op("Max", _squared_norm(graph, vectors, axis), SMALLEST_SQUARED_NORM)
    return str(graph.op("Div", vectors, graph.op("Sqrt", squared)))


def _squared_distances(graph: OnnxBuilder, query: str, key: str, factor: np.ndarray) -> str:
    """Compute factor · ‖q − k‖² as one product of augmented vectors, as `model.similarity` does."""
    query_norm = _squared_norm(graph, query, -1)  # (batch, heads, query, 1)
    key_norm = _squared_norm(graph, key, -2)  # (batch, heads, 1, length)

    def ones_like(norm: str) -> str:
        return str(graph.op("Add", graph.op("Mul", norm, 0.0), 1.0))

    left = graph.op("Concat", graph.op("Mul", query, -2.0), query_norm, ones_like(query_norm), axis=-1)
    right = graph.op("Concat", key, ones_like(key_norm), key_norm, axis=-2)
    return str(graph.op("MatMul", graph.op("Mul", left, factor), right, name="scores"))


def _dense(graph: OnnxBuilder, layer: Any, inputs: str, name: str) -> str:
    return graph.dense(inputs, weights_of(layer.kernel), weights_of(layer.bias), name)


def _layer_norm(graph: OnnxBuilder, layer: Any, inputs: Any) -> str:
    return graph.layer_norm(inputs, weights_of(layer.gamma), weights_of(layer.beta), layer.epsilon)
