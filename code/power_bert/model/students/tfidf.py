"""TF-IDF weights of tokens as pure functions.

A term t that occurs c_t times in a text has weight f(c_t) · idf_t, where f(c) = c, or 1 + ln c (sublinear). The vector
of all terms is divided by its Euclidean norm. This is what scikit-learn's `TfidfTransformer` computes by default
(`smooth_idf=True`, `norm="l2"`), except that terms absent from the training texts and special tokens have idf 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from power_bert_runtime.encoded_texts import EncodedTexts

Tensor = Any
SMALLEST_NORM = 1e-12


def inverse_document_frequency(encoded: EncodedTexts, vocabulary_size: int, special_ids: Iterable[int]) -> np.ndarray:
    """Compute the idf of each token: ln((1 + texts) / (1 + texts with the token)) + 1, or 0 for an excluded token.

    Args:
        encoded: Training texts.
        vocabulary_size: Number of tokens in the vocabulary.
        special_ids: Token ids that are excluded, such as that of `[CLS]`.

    Returns:
        Inverse document frequencies, float32 (vocabulary_size,).
    """
    num_texts = len(encoded)
    text_of_piece = np.repeat(np.arange(num_texts, dtype=np.int64), encoded.lengths)
    pairs = np.unique(text_of_piece * vocabulary_size + encoded.ids)
    texts_with = np.bincount(pairs % vocabulary_size, minlength=vocabulary_size)
    idf = np.log((1.0 + num_texts) / (1.0 + texts_with)) + 1.0
    idf[texts_with == 0] = 0.0
    idf[list(special_ids)] = 0.0
    return idf.astype(np.float32)


def count_in_text(token_ids: Tensor, is_token: Tensor, vocabulary_size: int) -> Tensor:
    """Count how often the token at each position occurs in its text.

    Args:
        token_ids: Token ids, int32 (batch, length).
        is_token: 1 for a token, 0 for padding, which is not counted; float (batch, length).
        vocabulary_size: Number of tokens in the vocabulary.

    Returns:
        Counts, float (batch, length).
    """
    batch, length = ops.shape(token_ids)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * vocabulary_size, 1)  # (batch, 1)
    cell = ops.reshape(token_ids + first, (-1,))  # (batch · length,)
    counts = ops.scatter(ops.expand_dims(cell, 1), ops.reshape(is_token, (-1,)), (batch * vocabulary_size,))
    return ops.reshape(ops.take(counts, cell, axis=0), (batch, length))


def position_weights(token_ids: Tensor, padding_mask: Tensor, idf: Tensor, sublinear: bool) -> Tensor:
    """Compute weights w of the positions with Σ_p w_p · e(id_p) = Σ_t tfidf_t · e(t) for any vectors e.

    A linear map of the TF-IDF vector is then a weighted sum of one row per position, and the vector itself, which is as
    long as the vocabulary, is never built. A term's weight is divided equally among its positions.

    Args:
        token_ids: Token ids, int32 (batch, length).
        padding_mask: Padding mask, int32 (batch, length), 0 for padding.
        idf: Inverse document frequencies, (vocabulary_size,).
        sublinear: Whether a term that occurs c times counts 1 + ln c instead of c.

    Returns:
        Weights, (batch, length).
    """
    is_token = ops.cast(padding_mask, idf.dtype)  # (batch, length)
    counts = ops.maximum(count_in_text(token_ids, is_token, idf.shape[0]), 1.0)
    share = (1.0 + ops.log(counts)) / counts if sublinear else ops.ones_like(counts)
    weights = share * ops.take(idf, token_ids, axis=0) * is_token
    # Each of the c positions of a term contributes c · w² = (f(c) · idf)² / c, in total (f(c) · idf)².
    squared_norm = ops.sum(weights * weights * counts, axis=1, keepdims=True)  # (batch, 1)
    return weights / ops.maximum(ops.sqrt(squared_norm), SMALLEST_NORM)
