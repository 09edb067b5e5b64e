"""Classes of interchangeable words, induced from their contexts.

Distributional part-of-speech induction (Schütze 1995, Distributional part-of-speech tagging): each frequent word is
represented by how often each of the most frequent words occurs directly before and after it. Truncated SVD and k-means
cluster these vectors. The method needs no tagger, no model, and works in any language.
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
    """Split a text into words and punctuation marks; `[MASK]` stays one word."""
    return _WORD.findall(text)


@dataclass(frozen=True)
class WordClasses:
    """Induced word classes.

    Attributes:
        class_of: Lowercase word → index of its class; rare words have none.
        words: Words of each class.
        shares: Cumulative relative frequency of each word within its class, (words of the class,); the last is 1.
    """

    class_of: dict[str, int]
    words: tuple[tuple[str, ...], ...]
    shares: tuple[np.ndarray, ...]

    def draw(self, word: str, uniform: float) -> str:
        """Draw a word of the same class by frequency, possibly the same word; a word without a class is returned.

        Args:
            word: Word to replace, in upper or lower case.
            uniform: Random number in [0, 1).
        """
        number = self.class_of.get(word.lower())
        if number is None:
            return word
        return self.words[number][int(np.searchsorted(self.shares[number], uniform, side="right"))]


def find_word_classes(texts: Sequence[str], seed: int, num_classes: int = NUM_CLASSES) -> WordClasses:
    """Induce word classes from texts.

    Args:
        texts: Texts of the training set.
        seed: Random seed of truncated SVD and k-means.
        num_classes: Maximum number of classes; a small vocabulary gives fewer.
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
    frequencies = [np.cumsum([counts[word] for word in group], dtype=np.float64) for group in members]
    return WordClasses(
        {word: number for number, group in enumerate(members) for word in group},
        tuple(tuple(group) for group in members),
        tuple(cumulative / cumulative[-1] for cumulative in frequencies),
    )


def _contexts(sentences: Sequence[Sequence[str]], words: Sequence[str], neighbors: Sequence[str]) -> np.ndarray:
    """Compute the square roots of the relative frequencies of neighbors before and after: (words, 2 · neighbors)."""
    rows = {word: row for row, word in enumerate(words)}
    columns = {word: column for column, word in enumerate(neighbors)}
    counted = np.zeros((len(words), 2 * len(neighbors)), np.float32)
    for sentence in sentences:
        for left, right in pairwise(sentence):
            if right in rows and left in columns:
                counted[rows[right], columns[left]] += 1
            if left in rows and right in columns:
                counted[rows[left], len(neighbors) + columns[right]] += 1
    return np.asarray(np.sqrt(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)))


def _cluster(vectors: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    dimensions = min(_DIMENSIONS, vectors.shape[1] - 1, len(vectors) - 1)
    # With several threads the order of summation varies, but a resumed run must find the same classes.
    with threadpool_limits(limits=1):
        if dimensions >= 1:
            vectors = TruncatedSVD(dimensions, random_state=seed).fit_transform(vectors)
        labels = KMeans(num_classes, n_init=3, random_state=seed).fit_predict(normalize(vectors))
    return np.asarray(labels)
