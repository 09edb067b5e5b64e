"""Augmentation: what is changed, and that the seed alone decides it."""

from collections.abc import Sequence

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.augmentation import MASK, Rates, augment
from power_bert.text.examples import Examples
from power_bert.text.word_classes import WordClasses, find_word_classes, split_words

NOUNS, VERBS, ADJECTIVES = (
    ("cat", "dog", "bird", "mouse"),
    ("sees", "likes", "hears", "follows"),
    ("old", "big", "small", "young"),
)
NOTHING = Rates(0.0, 0.0, 0.0, 0.0)


def sentences(count: int = 400) -> list[str]:
    rng = np.random.default_rng(0)
    draw = rng.choice
    return [f"the {draw(ADJECTIVES)} {draw(NOUNS)} {draw(VERBS)} a {draw(NOUNS)} ." for _ in range(count)]


@pytest.fixture(scope="module")
def classes() -> WordClasses:
    return find_word_classes(sentences(), seed=0, num_classes=5)


def singles(*texts: str) -> Examples:
    return Examples(list(texts), None, np.zeros(len(texts), np.int64))


def test_words() -> None:
    assert split_words("It's a [MASK], isn’t it?") == ["It's", "a", "[MASK]", ",", "isn’t", "it", "?"]


def test_classes_are_parts_of_speech(classes: WordClasses) -> None:
    for group in (NOUNS, VERBS, ADJECTIVES):
        assert len({classes.class_of[word] for word in group}) == 1
    assert len({classes.class_of[word] for word in ("cat", "sees", "old")}) == 3
    assert {classes.draw("Dog", uniform) for uniform in np.linspace(0, 0.999, 50)} == set(NOUNS)
    assert classes.draw("unknown", 0.5) == "unknown"


def test_classes_depend_on_the_seed_alone(classes: WordClasses) -> None:
    again = find_word_classes(sentences(), seed=0, num_classes=5)
    assert again.words == classes.words


def test_few_words_have_few_classes() -> None:
    assert find_word_classes(["a b"], seed=0).words == ()
    assert len(find_word_classes(["a b c d"] * 9, seed=0).words) <= 2


def test_masking() -> None:
    made = augment(singles(*sentences(50)), 1, Rates(0.3, 0.0, 0.0, 0.0), seed=1)
    words = [word for text in made.first for word in text.split()]
    assert 0.2 < np.mean([word == MASK for word in words]) < 0.45  # texts without a mask are not new
    assert made.labels is None and made.second is None


def test_replacing_keeps_the_class(classes: WordClasses) -> None:
    made = augment(singles(*sentences(50)), 2, Rates(0.0, 1.0, 0.0, 0.0), seed=1, classes=classes)
    for text in made.first:
        words = text.split()
        assert words[1] in ADJECTIVES and words[2] in NOUNS and words[3] in VERBS and words[5] in NOUNS


def test_ngrams() -> None:
    originals = sentences(50)
    made = augment(singles(*originals), 1, Rates(0.0, 0.0, 1.0, 0.0), seed=1)
    assert {len(text.split()) for text in made.first} <= {1, 2, 3, 4, 5}
    assert all(any(text in original for original in originals) for text in made.first)


def test_the_seed_decides_everything(classes: WordClasses) -> None:
    rates, examples = Rates(0.1, 0.1, 0.25, 0.0), singles(*sentences(30))
    one, same, other = (augment(examples, 3, rates, seed, classes).first for seed in (1, 1, 2))
    assert one == same != other


def test_a_text_does_not_depend_on_how_many_there_are(classes: WordClasses) -> None:
    rates, texts = Rates(0.3, 0.3, 0.0, 0.0), sentences(30)
    few, many = (
        augment(singles(*part), copies, rates, 1, classes).first for part, copies in ((texts[:5], 1), (texts, 3))
    )
    assert set(few) <= set(many)


def test_nothing_is_there_twice() -> None:
    examples = singles(*sentences(40))
    made = augment(examples, 10, Rates(0.1, 0.0, 0.5, 0.0), seed=0).first
    assert len(set(made)) == len(made) and not set(made) & set(examples.first)


def test_a_text_with_other_spaces_is_not_new() -> None:
    with pytest.raises(UserError, match="augmentation made no new text"):
        augment(singles("It's fun, isn't it? ", "one  two"), 3, NOTHING, seed=0)
    pair = Examples(["fine, thanks "], ["all right."], np.zeros(1, np.int64))
    with pytest.raises(UserError, match="augmentation made no new text"):
        augment(pair, 3, NOTHING, seed=0)


def test_pairs_change_one_side_or_both() -> None:
    examples = Examples(["a b c d e f"] * 1, ["g h i j k l"], np.zeros(1, np.int64))
    rates = Rates(0.9, 0.0, 0.0, 0.0)
    made = augment(examples, 3, rates, seed=0)
    assert made.second is not None
    changed = [("MASK" in first, "MASK" in second) for first, second in zip(made.first, made.second, strict=True)]
    assert changed == [(True, False), (False, True), (True, True)]


def test_a_language_model_fills_masks() -> None:
    def fill(sentences: Sequence[list[str]], seeds: Sequence[int]) -> list[list[str]]:
        assert len(set(seeds)) == len(seeds)
        return [["new" if word == MASK else word for word in words] for words in sentences]

    made = augment(singles(*sentences(20)), 1, Rates(0.0, 0.0, 0.0, 0.5), seed=0, fill_masks=fill)
    words = [word for text in made.first for word in text.split()]
    assert MASK not in words and 0.3 < np.mean([word == "new" for word in words]) < 0.7


@pytest.mark.parametrize("texts", [("a b c",), ("",)])
def test_an_empty_augmentation_is_an_error(texts: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="augmentation made no new text"):
        augment(singles(*texts), 5, NOTHING, seed=0)
