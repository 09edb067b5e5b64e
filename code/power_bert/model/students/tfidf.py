"""TF-IDF weights of word pieces: no layers, only numbers.

The term t of a text that has it c_t times weighs f(c_t) · idf_t, where f(c) = c, or 1 + ln c (sublinear). The vector of
all terms is divided by its Euclidean norm. This is what scikit-learn's `TfidfTransformer` computes by default
(`smooth_idf=True`, `norm="l2"`). Terms that no training text has, and the special tokens, have idf 0 and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from power_bert.text.encoded_texts import EncodedTexts

Tensor = Any
_SMALLEST_NORM = 1e-12


def inverse_document_frequency(encoded: EncodedTexts, vocabulary_size: int, special_ids: Iterable[int]) -> np.ndarray:
    """The idf of every word piece: ln((1 + texts) / (1 + texts that have it)) + 1, or 0 where it does not count.

    Args:
        encoded: the training texts.
        vocabulary_size: number of word pieces.
        special_ids: ids that do not count, such as that of `[CLS]`.

    Returns:
        float32 (vocabulary_size,).
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
    """How often the word piece at each position occurs in its text: float (batch, length).

    Args:
        token_ids: int32 (batch, length).
        is_token: float (batch, length): 1 for a token, 0 for padding, which is not counted.
        vocabulary_size: number of word pieces.
    """
    batch, length = ops.shape(token_ids)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * vocabulary_size, 1)
    cell = ops.reshape(token_ids + first, (-1,))
    counts = ops.scatter(ops.expand_dims(cell, 1), ops.reshape(is_token, (-1,)), (batch * vocabulary_size,))
    return ops.reshape(ops.take(counts, cell, axis=0), (batch, length))


def position_weights(token_ids: Tensor, padding_mask: Tensor, idf: Tensor, sublinear: bool) -> Tensor:
    """Weights w of the positions with Σ_p w_p · e(id_p) = Σ_t tfidf_t · e(t) for any vectors e: (batch, length).

    So a linear map of the TF-IDF vector is a weighted sum of one row a position, and the vector itself, as long as
    the vocabulary, is never made. A term's weight is shared equally by its positions.

    Args:
        token_ids: int32 (batch, length).
        padding_mask: int32 (batch, length), 0 marks padding.
        idf: (vocabulary_size,).
        sublinear: whether a term counts 1 + ln c, not c.
    """
    is_token = ops.cast(padding_mask, idf.dtype)
    counts = ops.maximum(count_in_text(token_ids, is_token, idf.shape[0]), 1.0)
    share = (1.0 + ops.log(counts)) / counts if sublinear else ops.ones_like(counts)
    weights = share * ops.take(idf, token_ids, axis=0) * is_token
    # A term of c positions adds c · w² = (f(c) · idf)² / c a position, c times.
    squared_norm = ops.sum(weights * weights * counts, axis=1, keepdims=True)
    return weights / ops.maximum(ops.sqrt(squared_norm), _SMALLEST_NORM)
