"""The classifier as a TensorFlow function of constants, laid out for LiteRT: one example, one length.

Mathematically equal to `PowerBertTextClassifier` at inference, and checked against it at every export. Differs in:

* no batch axis: word-vectors are (length, hidden), so dense layers become FULLY_CONNECTED and heads one transpose;
* the words that a block keeps stay in the order of their significance, `[CLS]` first, and are not sorted back:
  blocks do not depend on the order of their words, so sorting would only cost time;
* which slots are filled follows from the number of words by comparison with constants, so no mask is gathered;
* what eliminated words would be projected to after the attention, and their attention where only `[CLS]` is kept, is
  not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from power_bert.model.attention import HIDDEN_KEY_BIAS
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_block import EncoderBlock, activation_function
from power_bert.model.retention import kept_words
from power_bert.model.similarity import SIMILARITIES

Tensor = Any
# ids, mask and segment ids, int32 (1, length) → outputs, float32 (1, classes).
InferenceFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
# Over the significance of any word, so that [CLS] is always the first to be kept.
_CLS_BONUS = 6e4


def inference_function(classifier: PowerBertTextClassifier) -> InferenceFunction:
    """The classifier as a function of ids, mask and segment ids, int32 (1, length), the length known when traced.

    Args:
        classifier: without extraction, or with hard extraction; or a student.

    Returns:
        A function to probabilities, float32 (1, classes), or, for a regressor, the score (1, 1).
    """

    def function(ids: Tensor, mask: Tensor, segment_ids: Tensor) -> Tensor:
        if isinstance(classifier.backbone, PowerBertBackbone):
            logits = _encoder_logits(classifier, ids, mask, segment_ids)
        else:  # a student, as Keras computes it
            inputs = {"token_ids": ids, "segment_ids": segment_ids, "padding_mask": mask}
            logits = classifier(inputs, training=False)
        return logits if classifier.is_regressor else tf.nn.softmax(logits)

    return function


def _encoder_logits(classifier: PowerBertTextClassifier, ids: Tensor, mask: Tensor, segment_ids: Tensor) -> Tensor:
    """int32 (1, length) ids, mask and segment ids → (1, classes)."""
    backbone = classifier.backbone
    visible = tf.cast(mask[0], tf.float32)
    words = tf.reduce_sum(visible)
    hidden_states = _embed(backbone, ids[0], segment_ids[0])
    for block, kept in zip(backbone.blocks, kept_words_of_blocks(backbone, ids.shape[1]), strict=True):
        hidden_states = _encode(block, hidden_states, visible, None if kept is None else int(kept[-1]))
        if kept is not None:
            # Slot k is filled where the input has more than `needed[k]` words.
            needed = np.searchsorted(kept, np.arange(kept[-1]), side="right").astype(np.float32)
            visible = tf.clip_by_value(words - needed, 0.0, 1.0)
    pooled = tf.tanh(_dense(backbone.pooler, hidden_states[:1]))
    return _dense(classifier.output_dense, pooled)


def kept_words_of_blocks(backbone: PowerBertBackbone, length: int) -> list[np.ndarray | None]:
    """For every block how many words it keeps of an input of 1, 2, … `length` words, int (length,).

    None where a block eliminates nothing that the one before it has left, whatever the input.
    """
    left = np.arange(1, length + 1)
    if backbone.extraction != "hard":
        return [None] * backbone.num_layers
    blocks: list[np.ndarray | None] = []
    for value in backbone.retention:
        kept = np.minimum(left, [kept_words(value, words) for words in range(1, length + 1)])
        blocks.append(None if np.array_equal(kept, left) else kept)
        left = kept
    return blocks


def _embed(backbone: PowerBertBackbone, ids: Tensor, segment_ids: Tensor) -> Tensor:
    """(length,) ids → (length, hidden)."""
    embeddings = backbone.embeddings
    token, position, segment = map(_value, (embeddings.token, embeddings.position, embeddings.segment))
    if len(segment) == 1:
        segment_ids = tf.zeros_like(segment_ids)
    embedded = tf.gather(token, ids) + tf.gather(segment, segment_ids) + position[: ids.shape[0]]
    return _layer_norm(embeddings.norm, embedded)


def _encode(block: EncoderBlock, hidden_states: Tensor, visible: Tensor, slots: int | None) -> Tensor:
    """One encoder block: (length, hidden) → (slots, hidden); None keeps all."""
    if slots == 1:  # nothing but `[CLS]` is left, so only its attention is computed
        hidden_states, context = hidden_states[:1], _attend(block, hidden_states[:1], hidden_states, visible)[0]
    else:
        context, probabilities = _attend(block, hidden_states, hidden_states, visible)
        if slots is not None:
            chosen = _most_significant(probabilities, visible, slots)
            context, hidden_states = tf.gather(context, chosen), tf.gather(hidden_states, chosen)
    attended = _dense(block.attention.output_projection, context)
    hidden_states = _layer_norm(block.attention_norm, hidden_states + attended)
    transformed = activation_function(block.activation)(_dense(block.intermediate, hidden_states))
    return _layer_norm(block.output_norm, hidden_states + _dense(block.output_projection, transformed))


def _attend(block: EncoderBlock, asking: Tensor, hidden_states: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of the words `asking` (queries, hidden) to all words (length, hidden).

    Returns:
        Context before the output projection, (queries, hidden), and probabilities (heads, queries, length).
    """
    attention = block.attention
    heads, head_dim = attention.num_heads, attention.head_dim

    def split_heads(vectors: Tensor) -> Tensor:
        return tf.transpose(tf.reshape(vectors, (vectors.shape[0], heads, head_dim)), (1, 0, 2))

    key, value = (split_heads(_dense(layer, hidden_states)) for layer in (attention.key, attention.value))
    if attention.similarity == "dot":
        # The division by √d is in the weights of the query.
        query = split_heads(_dense(attention.query, asking, head_dim**-0.5))
        scores = tf.matmul(query, key, transpose_b=True)
    else:
        query, scale = split_heads(_dense(attention.query, asking)), tf.constant(_value(attention.scale))
        scores = SIMILARITIES[attention.similarity].scores(query[None], key[None], scale)[0]
    probabilities = tf.nn.softmax(scores + (visible - 1.0) * -HIDDEN_KEY_BIAS)
    context = tf.transpose(tf.matmul(probabilities, value), (1, 0, 2))
    return tf.reshape(context, (asking.shape[0], heads * head_dim)), probabilities


def _most_significant(probabilities: Tensor, visible: Tensor, slots: int) -> Tensor:
    """Positions of the most significant words, int32 (slots,), `[CLS]` first, padding last.

    As `power_bert.model.significance`; padding receives no attention, so its significance is zero before the bias.
    """
    length = visible.shape[0]
    others = np.ones((length, length), np.float32) - np.eye(length, dtype=np.float32)
    received = tf.matmul(visible[None], tf.reduce_sum(probabilities, axis=0) * others)[0]
    bonus = np.zeros(length, np.float32)
    bonus[0] = _CLS_BONUS
    return tf.math.top_k(received + (visible - 1.0) + bonus, slots).indices


def _dense(layer: Any, inputs: Tensor, scale: float = 1.0) -> Tensor:
    """A dense layer without activation, its kernel and bias multiplied by `scale`."""
    return tf.matmul(inputs, _value(layer.kernel) * scale) + _value(layer.bias) * scale


def _layer_norm(layer: Any, inputs: Tensor) -> Tensor:
    centred = inputs - tf.reduce_mean(inputs, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    # Multiplied in this order, gamma stays out of the weights of the next dense layer, into which the converter would
    # multiply it: both these weights and their inputs would then have a larger spread, and lose more in int8.
    return centred * (tf.math.rsqrt(variance + layer.epsilon) * _value(layer.gamma)) + _value(layer.beta)


def _value(variable: Any) -> np.ndarray:
    """The present value of a weight, also while a function is being traced."""
    with tf.init_scope():
        return np.asarray(variable)
