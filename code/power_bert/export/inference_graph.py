"""The classifier as a TensorFlow function for LiteRT: weights are constants, one example of one length at a time.

It computes what `PowerBertTextClassifier` computes at inference, and every export checks this. Modifications:

* There is no batch axis. Hidden states are (length, hidden), so dense layers become FULLY_CONNECTED and splitting the
  heads takes one transpose.
* The tokens that a block keeps stay in the order of their significance, `[CLS]` first. Encoder blocks do not depend on
  the order of their tokens, so restoring it would only cost time.
* Comparing the number of tokens with constants tells which slots are filled, so no mask is gathered.
* Eliminated tokens are dropped before the output projection of the attention, and if a block keeps only `[CLS]`, only
  the attention of `[CLS]` is computed. A block that fuses what it drops projects all tokens, as the fused one is made
  of their hidden states.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from power_bert.elimination.extraction import SMALLEST_WEIGHT, HardExtraction
from power_bert.model.attention import HIDDEN_KEY_BIAS
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_block import EncoderBlock, activation_function
from power_bert.model.similarity import SIMILARITIES
from power_bert_runtime.contents import OUTPUT_NAME, SURVIVING_TOKENS

Tensor = Any
# ids, mask and segment ids, int32 (1, length) → outputs by name.
InferenceFunction = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
# Larger than the significance of any token, so that [CLS] always ranks first.
_CLS_BONUS = 6e4


def inference_function(classifier: PowerBertTextClassifier, surviving_tokens: bool = False) -> InferenceFunction:
    """Return the classifier as a function of ids, mask and segment ids, int32 (1, length).

    Args:
        classifier: Classifier without extraction or with hard extraction, or a student.
        surviving_tokens: Whether to return which tokens are left after each block, too; not for students.

    Returns:
        Function to `OUTPUT_NAME`: probabilities, float32 (1, classes), or for a regressor the score, float32 (1, 1);
        and, if asked, `SURVIVING_TOKENS`: 1 for each token that is left after a block, else 0, int32 (1, blocks,
        length). The length has to be known when it is traced.
    """

    def function(ids: Tensor, mask: Tensor, segment_ids: Tensor) -> dict[str, Tensor]:
        outputs = {}
        if isinstance(classifier.backbone, PowerBertBackbone):
            logits, choices = _run_encoder(classifier, ids, mask, segment_ids)
            if surviving_tokens:
                outputs[SURVIVING_TOKENS] = _surviving_tokens(choices, ids.shape[1])
        else:  # a student runs as Keras computes it
            inputs = {"token_ids": ids, "segment_ids": segment_ids, "padding_mask": mask}
            logits = classifier(inputs, training=False)  # (1, classes)
        outputs[OUTPUT_NAME] = logits if classifier.is_regressor else tf.nn.softmax(logits)
        return outputs

    return function


def _run_encoder(
    classifier: PowerBertTextClassifier, ids: Tensor, mask: Tensor, segment_ids: Tensor
) -> tuple[Tensor, list[tuple[Tensor | None, Tensor]]]:
    """Run a classifier on ids, mask and segment ids, int32 (1, length).

    Returns:
        Logits (1, classes), and for each block the choice of `_encode` (slots,) and which slots are filled (slots,).
    """
    backbone, choices = classifier.backbone, list[tuple[Tensor | None, Tensor]]()
    visible = tf.cast(mask[0], tf.float32)  # (length,)
    num_tokens = tf.reduce_sum(visible)  # ()
    hidden_states = _embed(backbone, ids[0], segment_ids[0])  # (length, hidden)
    left, after_fused = visible, False
    for block, kept in zip(backbone.blocks, kept_tokens_of_blocks(backbone, ids.shape[1]), strict=True):
        slots, fuses = None, False
        if kept is not None:
            # Slot k is filled if the input has more than `needed[k]` tokens.
            needed = np.searchsorted(kept, np.arange(kept[-1]), side="right").astype(np.float32)
            slots, left = int(kept[-1]), tf.clip_by_value(num_tokens - needed, 0.0, 1.0)  # (slots,)
            fuses = isinstance(block.extraction, HardExtraction) and block.extraction.fuse
        # (slots, hidden), or with the fused token (slots + 1, hidden); (slots,)
        hidden_states, chosen = _encode(block, hidden_states, visible, slots, after_fused, left if fuses else None)
        choices.append((chosen, left))
        if kept is None:
            continue
        visible, after_fused = left, fuses
        if fuses:  # the fused token is visible if the input has more tokens than are all kept
            all_kept = np.sum(kept == np.arange(1, len(kept) + 1), dtype=np.float32)
            visible = tf.concat([left, tf.clip_by_value(num_tokens - all_kept, 0.0, 1.0)[None]], axis=0)  # (slots + 1,)
    pooled = tf.tanh(_dense(backbone.pooler, hidden_states[:1]))  # (1, hidden)
    return _dense(classifier.output_dense, pooled), choices


def _surviving_tokens(choices: list[tuple[Tensor | None, Tensor]], length: int) -> Tensor:
    """Follow the positions of the tokens through the choices of the blocks: int32 (1, blocks, length)."""
    positions, survivors = tf.range(length), []
    for chosen, visible in choices:
        if chosen is not None:
            positions = tf.gather(positions, chosen)  # (slots,)
        left = tf.reduce_max(tf.one_hot(positions, length) * visible[:, None], axis=0)  # (length,)
        survivors.append(tf.cast(left, tf.int32))
    return tf.stack(survivors)[None]


def kept_tokens_of_blocks(backbone: PowerBertBackbone, length: int) -> list[np.ndarray | None]:
    """Return how many tokens each block keeps of inputs of 1, 2, …, `length` tokens.

    Args:
        backbone: Backbone with or without hard extraction.
        length: Sequence length of the exported model, in tokens.

    Returns:
        For each block int (length,), or None if the block eliminates no token of any input, also no fused one.
    """
    retention, lengths = backbone.retention, np.arange(1, length + 1)
    if backbone.extraction != "hard" or retention is None:
        return [None] * backbone.num_layers
    left = [lengths, *(retention.left_after(block, lengths) for block in range(backbone.num_layers))]
    drops_fused = [backbone.fuse_dropped and retention.keeps_cls_alone(block) for block in range(backbone.num_layers)]
    return [
        None if np.array_equal(now, before) and not drops else now
        for (before, now), drops in zip(pairwise(left), drops_fused, strict=True)
    ]


def _embed(backbone: PowerBertBackbone, ids: Tensor, segment_ids: Tensor) -> Tensor:
    """Compute embeddings (length, hidden) from ids and segment ids (length,)."""
    embeddings = backbone.embeddings
    token, position, segment = map(_value, (embeddings.token, embeddings.position, embeddings.segment))
    if len(segment) == 1:
        segment_ids = tf.zeros_like(segment_ids)
    embedded = tf.gather(token, ids) + tf.gather(segment, segment_ids) + position[: ids.shape[0]]  # (length, hidden)
    return _layer_norm(embeddings.norm, embedded)


def _encode(
    block: EncoderBlock,
    hidden_states: Tensor,
    visible: Tensor,
    slots: int | None,
    after_fused: bool,
    fused_beside: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Run one encoder block.

    Args:
        block: Block to run.
        hidden_states: Hidden states, (length, hidden).
        visible: Which of them are tokens, (length,).
        slots: Number of tokens to keep; None keeps all.
        after_fused: Whether the hidden states end in a fused token, which is not ranked.
        fused_beside: Which of the slots are filled, (slots,), if the dropped tokens are fused; None drops them.

    Returns:
        Hidden states (slots, hidden), followed by the fused token if there is one; and the positions of the kept tokens
        in the input of the block, int32 (slots,), None if it keeps all.
    """
    chosen = None
    if slots == 1 and fused_beside is None:  # only `[CLS]` is left, so only its attention is computed
        context, _ = _attend(block, hidden_states[:1], hidden_states, visible)  # (1, hidden)
        hidden_states, chosen = hidden_states[:1], np.zeros(1, np.int32)  # (1, hidden), (1,)
    else:
        context, probabilities = _attend(block, hidden_states, hidden_states, visible)
        if slots is not None:
            received = _significance(probabilities, visible)  # (length,)
            ranked = (received[:-1], visible[:-1]) if after_fused else (received, visible)
            chosen = _most_significant(*ranked, slots)  # (slots,)
            if fused_beside is None:
                context, hidden_states = tf.gather(context, chosen), tf.gather(hidden_states, chosen)  # (slots, hidden)
    attended = _dense(block.attention.output_projection, context)  # (slots, hidden)
    hidden_states = _layer_norm(block.attention_norm, hidden_states + attended)
    if fused_beside is not None:
        hidden_states = _with_fused(hidden_states, received, visible, chosen, fused_beside)  # (slots + 1, hidden)
    transformed = _activate(block.activation, _dense(block.intermediate, hidden_states))  # (slots, inner)
    return _layer_norm(block.output_norm, hidden_states + _dense(block.output_projection, transformed)), chosen


def _attend(block: EncoderBlock, queries: Tensor, hidden_states: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Attend from the tokens `queries` (query, hidden) to all tokens (length, hidden).

    Returns:
        Context before the output projection (query, hidden), and attention probabilities (heads, query, length).
    """
    attention = block.attention
    heads, head_dim = attention.num_heads, attention.head_dim

    def split_heads(vectors: Tensor) -> Tensor:
        split = tf.reshape(vectors, (vectors.shape[0], heads, head_dim))  # (token, heads, head_dim)
        return tf.transpose(split, (1, 0, 2))  # (heads, token, head_dim)

    key, value = (split_heads(_dense(layer, hidden_states)) for layer in (attention.key, attention.value))
    if attention.similarity == "dot":
        # The division by √head_dim is folded into the query weights.
        query = split_heads(_dense(attention.query, queries, head_dim**-0.5))  # (heads, query, head_dim)
        scores = tf.matmul(query, key, transpose_b=True)  # (heads, query, length)
    else:
        query, scale = split_heads(_dense(attention.query, queries)), tf.constant(_value(attention.scale))
        scores = SIMILARITIES[attention.similarity].scores(query[None], key[None], scale)[0]  # (heads, query, length)
    probabilities = tf.nn.softmax(scores + (visible - 1.0) * -HIDDEN_KEY_BIAS)  # (heads, query, length)
    context = tf.transpose(tf.matmul(probabilities, value), (1, 0, 2))  # (query, heads, head_dim)
    return tf.reshape(context, (queries.shape[0], heads * head_dim)), probabilities  # (query, hidden)


def _significance(probabilities: Tensor, visible: Tensor) -> Tensor:
    """Return the significance of each token, (length,), that of `elimination.significance`."""
    length = visible.shape[0]
    others = np.ones((length, length), np.float32) - np.eye(length, dtype=np.float32)
    summed = tf.reduce_sum(probabilities, axis=0)  # (length, length): query, key
    return tf.matmul(visible[None], summed * others)[0]


def _most_significant(received: Tensor, visible: Tensor, slots: int) -> Tensor:
    """Return the positions of the most significant tokens, int32 (slots,): `[CLS]` first, padding last.

    Padding receives no attention, so before the bias its significance is zero.
    """
    bonus = np.zeros(visible.shape[0], np.float32)
    bonus[0] = _CLS_BONUS
    return tf.math.top_k(received + (visible - 1.0) + bonus, slots).indices


def _with_fused(hidden_states: Tensor, received: Tensor, visible: Tensor, chosen: Tensor, filled: Tensor) -> Tensor:
    """Gather the kept tokens and append the fused one, as `HardExtraction` does: (slots + 1, hidden).

    Args:
        hidden_states: Hidden states of all tokens, (length, hidden).
        received: Their significance, (length,).
        visible: Which of them are tokens, (length,).
        chosen: Positions of the slots, int32 (slots,).
        filled: Which slots are filled, (slots,).
    """
    is_kept = tf.reduce_max(tf.one_hot(chosen, visible.shape[0]) * filled[:, None], axis=0)  # (length,)
    weights = (received + SMALLEST_WEIGHT) * visible * (1.0 - is_kept)  # (length,)
    weights /= tf.maximum(tf.reduce_sum(weights), SMALLEST_WEIGHT)
    fused = tf.matmul(weights[None], hidden_states)  # (1, hidden)
    return tf.concat([tf.gather(hidden_states, chosen), fused], axis=0)


def _dense(layer: Any, inputs: Tensor, scale: float = 1.0) -> Tensor:
    """Apply a dense layer without activation, its kernel and bias multiplied by `scale`."""
    return tf.matmul(inputs, _value(layer.kernel) * scale) + _value(layer.bias) * scale


def _activate(name: str, inputs: Tensor) -> Tensor:
    # The converter knows the exact GELU by this form only.
    return tf.nn.gelu(inputs) if name == "gelu" else activation_function(name)(inputs)


def _layer_norm(layer: Any, inputs: Tensor) -> Tensor:
    centered = inputs - tf.reduce_mean(inputs, axis=-1, keepdims=True)  # (token, hidden)
    variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)  # (token, 1)
    # In another order of these products the converter would multiply gamma into the weights of the next dense layer.
    # These weights and their inputs would then have wider ranges and lose more precision in int8.
    return centered * (tf.math.rsqrt(variance + layer.epsilon) * _value(layer.gamma)) + _value(layer.beta)


def _value(variable: Any) -> np.ndarray:
    """Return the current value of a weight, also while a function is being traced."""
    with tf.init_scope():
        return np.asarray(variable)
