"""Which tokens of a record are masked, and what stands there instead (Devlin et al. 2019, appendix A.1). Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from power_bert.text.tokenizer import WordPieceTokenizer

# Of the chosen tokens: this share becomes [MASK], the next one a random token; the rest stay as they are.
_MASKED, _REPLACED = 0.8, 0.1


@dataclass(frozen=True)
class MaskedRecords:
    """A batch of masked language modelling.

    Attributes:
        token_ids: int32 (batch, length), with [MASK] and random tokens in it.
        padding_mask: int32 (batch, length), 1 for a token.
        positions: int32 (batch, predictions), rising; of the chosen tokens.
        labels: int32 (batch, predictions), the tokens that stood there.
        weights: float32 (batch, predictions), 1; 0 where a record has fewer tokens to choose from.
    """

    token_ids: np.ndarray
    padding_mask: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class Masker:
    """Masks records; the same number of tokens in each, so that all batches have one shape.

    Args:
        tokenizer: of the corpus.
        length: tokens of a record.
        rate: share of a record's tokens, [CLS] and [SEP] aside, that are chosen.
        whole_words: choose all word pieces of a word or none; a word that does not fit into the number any more is
            left out, so a few fewer are chosen.
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
        """Chooses and masks.

        Args:
            records: (batch, length), token ids.
            generator: decides everything: the same state gives the same batch.
        """
        token_ids = records.astype(np.int32)
        priority = self._priority(token_ids, generator)
        chosen = np.argsort(-priority, axis=1, kind="stable")[:, : self.predictions]
        is_chosen = np.take_along_axis(priority, chosen, axis=1) >= 0
        if self.whole_words:
            is_chosen &= ~self._is_cut(token_ids, chosen)
        order = np.argsort(np.where(is_chosen, chosen, token_ids.shape[1]), axis=1, kind="stable")
        positions = np.take_along_axis(chosen, order, axis=1)
        weights = np.take_along_axis(is_chosen, order, axis=1)
        labels = np.take_along_axis(token_ids, positions, axis=1)
        shown = np.where(weights, self._shown(labels, generator), labels)
        np.put_along_axis(token_ids, positions, shown, axis=1)
        padding_mask = (records != self._pad_id).astype(np.int32)
        return MaskedRecords(token_ids, padding_mask, positions.astype(np.int32), labels, weights.astype(np.float32))

    def _priority(self, token_ids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Random numbers, (batch, length): the highest are chosen; -1 for special tokens; one number a word."""
        priority = generator.random(token_ids.shape)
        if self.whole_words:
            priority = np.take_along_axis(priority, self._words(token_ids), axis=1)
        return np.where(self._is_special[token_ids], -1.0, priority)

    def _words(self, token_ids: np.ndarray) -> np.ndarray:
        """The number of each token's word in its record, (batch, length)."""
        continues = self._continues[token_ids]
        continues[:, 0] = False
        continues[:, 1:] &= ~self._is_special[token_ids[:, :-1]]
        return np.cumsum(~continues, axis=1) - 1

    def _is_cut(self, token_ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Whether a chosen token belongs to a word of which not all word pieces are among the chosen."""
        # Every word of the batch has a number of its own.
        words = self._words(token_ids) + np.arange(len(token_ids))[:, None] * token_ids.shape[1]
        words_of_chosen = np.take_along_axis(words, chosen, axis=1)
        pieces, chosen_pieces = (np.bincount(each.ravel(), minlength=words.size) for each in (words, words_of_chosen))
        return (chosen_pieces < pieces)[words_of_chosen]

    def _shown(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """What the model sees in place of chosen tokens."""
        draw = generator.random(labels.shape)
        replacement = self._replacements[generator.integers(0, len(self._replacements), labels.shape)]
        return np.where(draw < _MASKED, self._mask_id, np.where(draw < _MASKED + _REPLACED, replacement, labels))


def predictions_of(length: int, rate: float) -> int:
    """Tokens chosen in a record of `length` tokens, [CLS] and [SEP] among them."""
    return max(1, round(rate * (length - 2)))
