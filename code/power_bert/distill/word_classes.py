"""Classes of words that can stand in each other's place, found by the company that the words keep.

The part of speech without a tagger (Schütze 1995, Distributional part-of-speech tagging): each frequent word is
described by how often each of the most frequent words stands before it and after it; truncated singular values and
k-means make classes of these descriptions. It needs no model and no language but that of the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

NUM_CLASSES = 45  # as many as the Penn Treebank has parts of speech
_CONTEXT_WORDS = 250
_MIN_COUNT = 5
_MAX_WORDS = 20000
_DIMENSIONS = 50
_WORD = re.compile(r"\[MASK\]|\w+(?:['’]\w+)*|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Words and punctuation marks of a text; `[MASK]` stays one word."""
    return _WORD.findall(text)


@dataclass(frozen=True)
class WordClasses:
    """Words by class.

    Attributes:
        class_of: word in lower case → its class; rare words have none.
        words: words of each class.
        shares: how often each word of a class is seen among all of the class, cumulated; the last is 1.
    """

    class_of: dict[str, int]
    words: tuple[tuple[str, ...], ...]
    shares: tuple[np.ndarray, ...]

    def draw(self, word: str, uniform: float) -> str:
        """A word of the same class, by frequency, at times the same; the word itself where it has no class.

        Args:
            word: in any case.
            uniform: a random number in [0, 1).
        """
        number = self.class_of.get(word.lower())
        if number is None:
            return word
        return self.words[number][int(np.searchsorted(self.shares[number], uniform, side="right"))]


def find_word_classes(texts: Sequence[str], seed: int, num_classes: int = NUM_CLASSES) -> WordClasses:
    """Classes of the words of these texts.

    Args:
        texts: of the training set.
        seed: of singular values and k-means.
        num_classes: at most; there are fewer where there are hardly more words.
    """
    sentences = [[word.lower() for word in split_words(text)] for text in texts]
    counts = Counter(word for sentence in sentences for word in sentence)
    frequent = [(word, count) for word, count in counts.most_common(_MAX_WORDS) if count >= _MIN_COUNT]
    words = [word for word, _ in frequent if word.isalpha()]
    if len(words) < 2 * num_classes:
        num_classes = max(1, len(words) // 2)
    if not words:
        return WordClasses({}, (), ())
    numbers = _cluster(_contexts(sentences, words, [word for word, _ in frequent[:_CONTEXT_WORDS]]), num_classes, seed)
    members = [[word for word, number in zip(words, numbers, strict=True) if number == c] for c in range(num_classes)]
    members = [group for group in members if group]
    shares = [np.cumsum([counts[word] for word in group], dtype=np.float64) for group in members]
    return WordClasses(
        {word: number for number, group in enumerate(members) for word in group},
        tuple(tuple(group) for group in members),
        tuple(share / share[-1] for share in shares),
    )


def _contexts(sentences: Sequence[Sequence[str]], words: Sequence[str], neighbours: Sequence[str]) -> np.ndarray:
    """Square roots of the shares of each neighbour before and after each word: (words, 2 · neighbours)."""
    rows = {word: row for row, word in enumerate(words)}
    columns = {word: column for column, word in enumerate(neighbours)}
    counted = np.zeros((len(words), 2 * len(neighbours)), np.float32)
    for sentence in sentences:
        for left, right in pairwise(sentence):
            if right in rows and left in columns:
                counted[rows[right], columns[left]] += 1
            if left in rows and right in columns:
                counted[rows[left], len(neighbours) + columns[right]] += 1
    return np.asarray(np.sqrt(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)))


def _cluster(vectors: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    dimensions = min(_DIMENSIONS, vectors.shape[1] - 1, len(vectors) - 1)
    # Threads add up in the order in which they end; a run that is resumed must find the same classes.
    with threadpool_limits(limits=1):
        if dimensions >= 1:
            vectors = TruncatedSVD(dimensions, random_state=seed).fit_transform(vectors)
        labels = KMeans(num_classes, n_init=3, random_state=seed).fit_predict(normalize(vectors))
    return np.asarray(labels)
