"""The classifier as a TensorFlow function of constants, laid out for LiteRT: one example, one length.

Mathematically equal to `PowerBertTextClassifier` at inference, and checked against it at every export. Differs in:

* no batch axis: word-vectors are (length, hidden), so dense layers become FULLY_CONNECTED and heads one transpose;
* the words that a block keeps stay in the order of their significance, `[CLS]` first, and are not sorted back:
  blocks do not depend on the order of their words, so sorting would only cost time;
* which slots are filled follows from the number of words by comparison with constants, so no mask is gathered.
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
from power_bert.model.retention import keeps_all, kept_words
from power_bert.model.similarity import SIMILARITIES

Tensor = Any
# ids, mask and segment ids, int32 (1, length) → outputs, float32 (1, classes).
InferenceFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
# Over the significance of any word, so that [CLS] is always the first to be kept.
_CLS_BONUS = 6e4


def inference_function(classifier: PowerBertTextClassifier, length: int) -> InferenceFunction:
    """The classifier for inputs of one length.

    Args:
        classifier: without extraction, or with hard extraction.
        length: word pieces of every input, padding among them.

    Returns:
        A function of ids, mask and segment ids, int32 (1, length), to probabilities (1, classes) or, for a regressor,
        the score (1, 1).
    """
    backbone = classifier.backbone

    def function(ids: Tensor, mask: Tensor, segment_ids: Tensor) -> Tensor:
        visible = tf.cast(mask[0], tf.float32)
        words = tf.reduce_sum(visible)
        hidden_states = _embed(backbone, ids[0], segment_ids[0])
        for number, block in enumerate(backbone.blocks):
            slots, thresholds = kept_slots(backbone, number, length)
            hidden_states = _encode(block, hidden_states, visible, slots)
            if slots is not None:
                visible = tf.clip_by_value(words - thresholds, 0.0, 1.0)
        pooled = tf.tanh(_dense(backbone.pooler, hidden_states[:1]))
        logits = _dense(classifier.output_dense, pooled)
        return logits if classifier.is_regressor else tf.nn.softmax(logits)

    return function


def kept_slots(backbone: PowerBertBackbone, block: int, length: int) -> tuple[int | None, np.ndarray]:
    """Word-vectors that a block keeps of an input of `length`, and how many words fill each of these slots.

    Returns:
        The number of slots, None where the block keeps every word, and float32 (slots,): slot k is filled where the
        input has more than the k-th of these numbers of words.
    """
    retention = backbone.retention if backbone.extraction == "hard" else None
    if retention is None or keeps_all(retention[block]):
        return None, np.zeros(0, np.float32)
    kept_of = np.array([kept_words(retention[block], words) for words in range(1, length + 1)])
    slots = int(kept_of[-1])
    return slots, np.searchsorted(kept_of, np.arange(slots), side="right").astype(np.float32)


def _embed(backbone: PowerBertBackbone, ids: Tensor, segment_ids: Tensor) -> Tensor:
    """(length,) ids → (length, hidden)."""
    embeddings = backbone.embeddings
    token, position, segment = map(_value, (embeddings.token, embeddings.position, embeddings.segment))
    embedded = tf.gather(token, ids) + tf.gather(segment, segment_ids) + position[: ids.shape[0]]
    return _layer_norm(embeddings.norm, embedded)


def _encode(block: EncoderBlock, hidden_states: Tensor, visible: Tensor, slots: int | None) -> Tensor:
    """One encoder block: (length, hidden) → (slots, hidden)."""
    context, probabilities = _attend(block, hidden_states, visible)
    if slots is not None:
        chosen = _most_significant(probabilities, visible, slots)
        context, hidden_states = tf.gather(context, chosen), tf.gather(hidden_states, chosen)
    attended = _dense(block.attention.output_projection, context)
    hidden_states = _layer_norm(block.attention_norm, hidden_states + attended)
    transformed = activation_function(block.activation)(_dense(block.intermediate, hidden_states))
    return _layer_norm(block.output_norm, hidden_states + _dense(block.output_projection, transformed))


def _attend(block: EncoderBlock, hidden_states: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Context before the output projection, (length, hidden), and attention probabilities (heads, query, key)."""
    attention = block.attention
    length, hidden_dim = hidden_states.shape
    heads, head_dim = attention.num_heads, attention.head_dim

    def project(layer: Any, scale: float = 1.0) -> Tensor:
        vectors = _dense(layer, hidden_states, scale)
        return tf.transpose(tf.reshape(vectors, (length, heads, head_dim)), (1, 0, 2))

    if attention.similarity == "dot":
        # The division by √d is in the weights of the query.
        query, key = project(attention.query, head_dim**-0.5), project(attention.key)
        scores = tf.matmul(query, key, transpose_b=True)
    else:
        query, key = (project(layer)[None] for layer in (attention.query, attention.key))
        scale = tf.constant(_value(attention.scale))
        scores = SIMILARITIES[attention.similarity].scores(query, key, scale)[0]
    probabilities = tf.nn.softmax(scores + (visible - 1.0) * -HIDDEN_KEY_BIAS)
    context = tf.matmul(probabilities, project(attention.value))
    return tf.reshape(tf.transpose(context, (1, 0, 2)), (length, hidden_dim)), probabilities


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
    mean = tf.reduce_mean(inputs, axis=-1, keepdims=True)
    centred = inputs - mean
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + layer.epsilon) * _value(layer.gamma) + _value(layer.beta)


def _value(variable: Any) -> np.ndarray:
    """The present value of a weight, also while a function is being traced."""
    with tf.init_scope():
        return np.asarray(variable)
