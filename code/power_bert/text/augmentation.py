"""Data augmentation: more texts for the teachers to label (Tang et al. 2019, arXiv 1903.12136, section 3.3).

Each word is masked with one probability, or else replaced by another word of its class with a second probability. The
text is then cut to an n-gram with a third probability. For text pairs, successive copies change the first text, the
second text, and both. The random draws of a text depend only on the seed, its row and the number of the copy. The word
classes and the removal of duplicates depend on all texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from power_bert.errors import UserError
from power_bert.text.examples import Examples
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.word_classes import WordClasses, split_words

MASK = "[MASK]"
_LONGEST_NGRAM = 5
# (sentences of words with [MASK], one seed per sentence) → sentences with each mask filled by a masked language model.
FillMasks = Callable[[Sequence[list[str]], Sequence[int]], list[list[str]]]


@dataclass(frozen=True)
class Rates:
    """Probabilities of each kind of augmentation; 0 turns a kind off.

    Attributes:
        mask: Probability that a word is masked.
        word_class: Probability that a word is replaced by another word of its class.
        ngram: Probability that a text is cut to an n-gram of 1 to 5 words.
        lm: Probability that a word is replaced by a prediction of a masked language model.
    """

    mask: float
    word_class: float
    ngram: float
    lm: float


def has_mask(tokenizer: WordPieceTokenizer) -> bool:
    """Return whether a tokenizer reads `MASK` as its mask."""
    return tokenizer.settings.mask_token == MASK and MASK in tokenizer.vocabulary


def augment(
    examples: Examples,
    copies: int,
    rates: Rates,
    seed: int,
    classes: WordClasses | None = None,
    fill_masks: FillMasks | None = None,
) -> Examples:
    """Make new unlabeled examples, without duplicates and without those that equal an example except for spaces.

    Args:
        examples: Training examples.
        copies: Number of copies of each example, before duplicates are removed.
        rates: Probabilities of the changes.
        seed: Random seed.
        classes: Word classes; required if `rates.word_class` is above 0.
        fill_masks: Function that fills masks; required if `rates.lm` is above 0.

    Raises:
        UserError: No new text was made.
    """
    seen = {_words(text) for text in _pairs(examples)}
    made: list[tuple[str, str | None]] = []
    for copy in range(copies):
        for text in _copy(examples, copy, rates, seed, classes, fill_masks):
            words = _words(text)
            if words not in seen and any(words):
                seen.add(words)
                made.append(text)
    if not made:
        raise UserError(
            "augmentation made no new text: the texts are too short or the rates too small. Raise --mask-rate, "
            "--class-rate or --ngram-rate, or leave --augment out"
        )
    second = None if examples.second is None else [text or "" for _, text in made]
    return Examples([text for text, _ in made], second, None)


def _pairs(examples: Examples) -> list[tuple[str, str | None]]:
    if examples.second is None:
        return [(text, None) for text in examples.first]
    return list(zip(examples.first, examples.second, strict=True))


def _words(text: tuple[str, str | None]) -> tuple[str, ...]:
    """Normalize the spaces of a text or text pair, to detect duplicates."""
    return tuple(" ".join(split_words(side or "")) for side in text)


def _copy(
    examples: Examples,
    copy: int,
    rates: Rates,
    seed: int,
    classes: WordClasses | None,
    fill_masks: FillMasks | None,
) -> list[tuple[str, str | None]]:
    """Make one augmented copy of every example."""
    columns = [examples.first] if examples.second is None else [examples.first, examples.second]
    changed = []
    for side, texts in enumerate(columns):
        if len(columns) == 2 and copy % 3 == 1 - side:
            changed.append(list(texts))  # for pairs, copy 0 changes the first text and copy 1 the second
            continue
        generators = [np.random.default_rng((seed, copy, side, row)) for row in range(len(texts))]
        words = [split_words(text) for text in texts]
        if fill_masks is not None and rates.lm > 0:
            masked = [_mask(sentence, rates.lm, rng) for sentence, rng in zip(words, generators, strict=True)]
            words = fill_masks(masked, [int(rng.integers(2**31)) for rng in generators])
        changed.append(
            [" ".join(_change(sentence, rates, rng, classes)) for sentence, rng in zip(words, generators, strict=True)]
        )
    return [(texts[0], texts[1] if len(texts) > 1 else None) for texts in zip(*changed, strict=True)]


def _mask(words: list[str], rate: float, rng: np.random.Generator) -> list[str]:
    return [MASK if drawn < rate else word for word, drawn in zip(words, rng.random(len(words)), strict=True)]


def _change(words: list[str], rates: Rates, rng: np.random.Generator, classes: WordClasses | None) -> list[str]:
    drawn, which = rng.random(len(words)), rng.random(len(words))
    changed = []
    for word, chance, uniform in zip(words, drawn, which, strict=True):
        if chance < rates.mask:
            changed.append(MASK)
        elif classes is not None and chance < rates.mask + rates.word_class:
            changed.append(classes.draw(word, uniform))
        else:
            changed.append(word)
    if rng.random() >= rates.ngram or not changed:
        return changed
    length = min(int(rng.integers(1, _LONGEST_NGRAM + 1)), len(changed))
    start = int(rng.integers(0, len(changed) - length + 1))
    return changed[start : start + length]
