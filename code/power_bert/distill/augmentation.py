"""Further texts for the teachers to label, made from the training texts (Tang et al. 2019, arXiv 1903.12136, 3.3).

Each word is masked with one probability, else replaced by another of its class with another; then the text is cut to
an n-gram with a third. Of a pair, copies change in turn the first text, the second, and both. What is drawn for a text
depends on the seed, its row and the number of its copy alone; the classes, and what is there already, on all texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from power_bert.distill.word_classes import WordClasses, split_words
from power_bert.errors import UserError
from power_bert.text.examples import Examples

MASK = "[MASK]"
_LONGEST_NGRAM = 5
# Words with [MASK] among them → words without: what a masked language model puts there.
FillMasks = Callable[[Sequence[list[str]], Sequence[int]], list[list[str]]]


@dataclass(frozen=True)
class Rates:
    """Probabilities; a kind of augmentation that is not asked for has 0.

    Attributes:
        mask: of a word to be masked.
        word_class: of a word to be replaced by another of its class.
        ngram: of a text to be cut to an n-gram of 1 to 5 words.
        lm: of a word to be replaced by what a masked language model puts there.
    """

    mask: float
    word_class: float
    ngram: float
    lm: float


def augment(
    examples: Examples,
    copies: int,
    rates: Rates,
    seed: int,
    classes: WordClasses | None = None,
    fill_masks: FillMasks | None = None,
) -> Examples:
    """New examples, none twice and none that is among `examples` but for its spaces, without labels.

    Args:
        examples: training examples.
        copies: made of each example, before what is there twice is left out.
        rates: how much is changed.
        seed: of everything random.
        classes: of the words; needed where `rates.word_class` is above 0.
        fill_masks: needed where `rates.lm` is above 0.

    Raises:
        UserError: nothing new came of it.
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
    """What two texts have in common that differ in their spaces alone."""
    return tuple(" ".join(split_words(side or "")) for side in text)


def _copy(
    examples: Examples,
    copy: int,
    rates: Rates,
    seed: int,
    classes: WordClasses | None,
    fill_masks: FillMasks | None,
) -> list[tuple[str, str | None]]:
    """One copy of every example."""
    columns = [examples.first] if examples.second is None else [examples.first, examples.second]
    changed = []
    for side, texts in enumerate(columns):
        if len(columns) == 2 and copy % 3 == 1 - side:
            changed.append(list(texts))  # of a pair, copy 0 changes the first text and copy 1 the second
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
