"""Token masking for masked language modeling (Devlin et al. 2019, appendix A.1), in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from power_bert.text.tokenizer import WordPieceTokenizer

# Fractions of the selected tokens that become [MASK] and a random token. The others keep their token.
_MASKED, _REPLACED = 0.8, 0.1


@dataclass(frozen=True)
class MaskedRecords:
    """Batch of masked records.

    Attributes:
        token_ids: Token ids after masking, int32 (batch, length).
        padding_mask: 1 for a token, 0 for padding, int32 (batch, length).
        positions: Positions of the selected tokens, ascending, int32 (batch, predictions).
        labels: Original token ids at these positions, int32 (batch, predictions).
        weights: 1, or 0 if the record has fewer tokens to select, float32 (batch, predictions).
    """

    token_ids: np.ndarray
    padding_mask: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class Masker:
    """Masker that selects the same number of tokens in each record, so that all batches have one shape.

    Args:
        tokenizer: Tokenizer of the corpus.
        length: Sequence length of a record, in tokens.
        rate: Fraction of a record's tokens, except [CLS] and [SEP], that are selected.
        whole_words: Whether to select all tokens of a word or none (whole word masking). A word that exceeds the
            number of predictions is left out, so slightly fewer tokens are selected.
    """

    def __init__(self, tokenizer: WordPieceTokenizer, length: int, rate: float, whole_words: bool) -> None:
        self.predictions = predictions_of(length, rate)
        self.whole_words = whole_words
        self._mask_id, self._pad_id = tokenizer.mask_id, tokenizer.pad_id
        vocabulary = np.array(tokenizer.vocabulary)
        self._is_special = np.zeros(len(vocabulary), bool)
        self._is_special[tokenizer.special_ids] = True
        self._continues = np.char.startswith(vocabulary, "##")
        self._replacements = np.flatnonzero(~self._is_special).astype(np.int32)

    def mask(self, records: np.ndarray, generator: np.random.Generator) -> MaskedRecords:
        """Select and mask tokens.

        Args:
            records: Token ids, (batch, length).
            generator: Random generator; the same state gives the same batch.
        """
        token_ids = records.astype(np.int32)
        priority = self._priority(token_ids, generator)  # (batch, length)
        chosen = np.argsort(-priority, axis=1, kind="stable")[:, : self.predictions]  # (batch, predictions)
        is_chosen = np.take_along_axis(priority, chosen, axis=1) >= 0
        if self.whole_words:
            is_chosen &= ~self._is_partial(token_ids, chosen)
        order = np.argsort(np.where(is_chosen, chosen, token_ids.shape[1]), axis=1, kind="stable")
        positions = np.take_along_axis(chosen, order, axis=1)
        weights = np.take_along_axis(is_chosen, order, axis=1)
        labels = np.take_along_axis(token_ids, positions, axis=1)
        shown = np.where(weights, self._shown(labels, generator), labels)
        np.put_along_axis(token_ids, positions, shown, axis=1)
        padding_mask = (records != self._pad_id).astype(np.int32)
        return MaskedRecords(token_ids, padding_mask, positions.astype(np.int32), labels, weights.astype(np.float32))

    def _priority(self, token_ids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draw a priority per token, (batch, length): -1 for special tokens, equal within a word for whole words."""
        priority = generator.random(token_ids.shape)
        if self.whole_words:
            priority = np.take_along_axis(priority, self._words(token_ids), axis=1)
        return np.where(self._is_special[token_ids], -1.0, priority)

    def _words(self, token_ids: np.ndarray) -> np.ndarray:
        """Return the index of each token's word in its record, (batch, length)."""
        continues = self._continues[token_ids]
        continues[:, 0] = False
        continues[:, 1:] &= ~self._is_special[token_ids[:, :-1]]
        return np.cumsum(~continues, axis=1) - 1

    def _is_partial(self, token_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return whether a selected token's word is only partly selected, (batch, predictions)."""
        # Unique word indices within the batch, (batch, length).
        words = self._words(token_ids) + np.arange(len(token_ids))[:, None] * token_ids.shape[1]
        words_of_chosen = np.take_along_axis(words, chosen, axis=1)
        pieces, chosen_pieces = (np.bincount(each.ravel(), minlength=words.size) for each in (words, words_of_chosen))
        return (chosen_pieces < pieces)[words_of_chosen]

    def _shown(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the token ids that replace the selected tokens, (batch, predictions)."""
        draw = generator.random(labels.shape)
        replacement = self._replacements[generator.integers(0, len(self._replacements), labels.shape)]
        return np.where(draw < _MASKED, self._mask_id, np.where(draw < _MASKED + _REPLACED, replacement, labels))


def predictions_of(length: int, rate: float) -> int:
    """Return the number of tokens selected in a record of `length` tokens, [CLS] and [SEP] included in the length."""
    return max(1, round(rate * (length - 2)))
