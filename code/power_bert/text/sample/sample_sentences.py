"""Generated data set of the project: sentences of a small English grammar in the layout of GLUE CoLA.

It is not CoLA and has its own task, `acceptability-sample`. Like CoLA, it asks to tell acceptable sentences from
unacceptable ones. Every sentence is one half of a minimal pair whose other half has the same words in another order and
the other label; only one half is written. The label is drawn after the words and does not depend on them, so a model
has to use the word order.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from power_bert.errors import UserError
from power_bert.storage.files import atomic_directory, foreign_files
from power_bert.text.sample.sample_lexicon import RULES, WORDS
from power_bert.text.sample.sample_patterns import PATTERNS, Pattern

_ACCEPTABLE_PERCENT = 62  # CoLA itself has about 70
_ATTEMPTS = 1000  # in a row without a new sentence, then the grammar is exhausted
_SLOT = re.compile(r"\{(\w+)(?:#\d)?\}")
# Chance in percent of an adjunct before the sentence, of an embedding clause, and of an adjunct or clause after it.
_FRONT_PERCENT, _EMBEDDING_PERCENT, _ASK_PERCENT, _END_PERCENT, _TAIL_PERCENT = 30, 15, 25, 22, 18


class SampleRow(NamedTuple):
    """One example: code of its phenomenon, label (1 = acceptable) and sentence."""

    source: str
    label: int
    sentence: str


def write_sample(
    folder: Path, *, seed: int = 0, train_size: int = 4000, dev_size: int = 500, test_size: int = 500
) -> None:
    """Write train.tsv, dev.tsv and test.tsv in the layout of GLUE CoLA.

    The files depend on the arguments alone, not on the platform; dev.tsv and test.tsv do not depend on ``train_size``.
    No two sentences, within or across splits, have the same words. As in GLUE, test.tsv has no labels.

    Args:
        folder: Folder of the three files, for example glue_data/sample/acceptability; replaced as a whole.
        seed: Seed of the sentences.
        train_size: Number of training examples, at least 1.
        dev_size: Number of dev examples, at least 1.
        test_size: Number of test examples, at least 1.

    Raises:
        UserError: A size is less than 1 or exceeds the number of sentences, or the folder holds other files.
    """
    for name, size in (("train_size", train_size), ("dev_size", dev_size), ("test_size", test_size)):
        if size < 1:
            raise UserError(f"{name} is {size}; expected a whole number of at least 1. Choose a larger size.")
    _refuse_foreign_files(folder)
    stream = _stream(random.Random(seed))
    test, dev, train = ([next(stream) for _ in range(size)] for size in (test_size, dev_size, train_size))
    with atomic_directory(folder) as temporary:
        _write(temporary / "train.tsv", [_labeled(row) for row in train])
        _write(temporary / "dev.tsv", [_labeled(row) for row in dev])
        lines = [f"{index}\t{row.sentence}" for index, row in enumerate(test)]
        _write(temporary / "test.tsv", ["index\tsentence", *lines])


def _refuse_foreign_files(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but an older sample."""
    if foreign := foreign_files(folder, {"train.tsv", "dev.tsv", "test.tsv"}):
        raise UserError(
            f"{folder}: holds other files ({', '.join(foreign[:3])}), and it would be replaced as a whole. Give "
            "another folder, such as one inside it."
        )


def minimal_pair(pattern: Pattern, rng: random.Random) -> tuple[list[str], list[str]]:
    """Fill the slots of a pattern and add the same adjuncts to both sentences.

    Args:
        pattern: Row of the table of phenomena.
        rng: Random number generator.

    Returns:
        Words of the acceptable and of the unacceptable sentence, including punctuation marks: permutations of each
        other.
    """
    used: set[str] = set()
    fillings: dict[str, list[str]] = {}
    for match in _SLOT.finditer(pattern.good):
        if match[0] not in fillings:
            fillings[match[0]] = _expand(match[1], rng, used)
    before, after = _adjuncts(pattern, rng, used)
    good, bad = (_fill(template, fillings) for template in (pattern.good, pattern.bad))
    if good[-1] != "?":
        after.append(".")
    return before + good + after, before + bad + after


def sentence_of(words: list[str]) -> str:
    """Join words to a sentence, with a capital first letter and no space before punctuation marks."""
    text = re.sub(r" (?=[,.?])", "", " ".join(words))
    return text[0].upper() + text[1:]


def _stream(rng: random.Random) -> Iterator[SampleRow]:
    """Yield examples without end, no two of them with the same words."""
    patterns = [pattern for pattern in PATTERNS for _ in range(pattern.weight)]
    seen: set[tuple[str, ...]] = set()
    attempts = 0
    while attempts < _ATTEMPTS:
        pattern = rng.choice(patterns)
        good, bad = minimal_pair(pattern, rng)
        acceptable = _chance(rng, _ACCEPTABLE_PERCENT)
        key = tuple(sorted(good))
        if key in seen:
            attempts += 1
            continue
        seen.add(key)
        attempts = 0
        yield SampleRow(pattern.source, int(acceptable), sentence_of(good if acceptable else bad))
    raise UserError(f"The grammar of the sample has no more than about {len(seen)} sentences. Choose smaller sizes.")


def _chance(rng: random.Random, percent: int) -> bool:
    return rng.randrange(100) < percent


def _adjuncts(pattern: Pattern, rng: random.Random, used: set[str]) -> tuple[list[str], list[str]]:
    """Draw the adjuncts before and after a sentence, which do not affect its acceptability."""
    before: list[str] = []
    after: list[str] = []
    if pattern.frame == "question":
        if _chance(rng, _ASK_PERCENT):
            before = _expand("ask", rng, used)
        return before, after
    fronted = _chance(rng, _FRONT_PERCENT)
    if fronted:
        before = _expand(rng.choice(_kinds("front", pattern.frame, pattern.tense)), rng, used)
    if pattern.frame == "bare":
        return before, after
    if not fronted and _chance(rng, _EMBEDDING_PERCENT):
        before = _expand("embedding", rng, used)
    if _chance(rng, _END_PERCENT):
        # Avoids "Today, … these days": no time adjunct at the end if there may be one in front.
        after = _expand(rng.choice(_kinds("end", pattern.frame, "any" if fronted else pattern.tense)), rng, used)
    elif _chance(rng, _TAIL_PERCENT):
        after = _expand(f"tail_{pattern.tense}", rng, used)
    return before, after


def _kinds(position: str, frame: str, tense: str) -> list[str]:
    """Return the rules of the adjuncts that fit a frame and a tense at a position ("front" or "end")."""
    kinds = ["any"] if tense == "any" else ["any", tense]
    return [f"{position}_{kind}" for kind in (kinds if frame == "no_place" else [*kinds, "place"])]


def _expand(name: str, rng: random.Random, used: set[str]) -> list[str]:
    """Draw the words of a slot; a content word is drawn only once per sentence."""
    if name in WORDS:
        word = rng.choice(WORDS[name])
        while word in used:
            word = rng.choice(WORDS[name])
        used.add(word)
        return [word]
    words: list[str] = []
    for part in rng.choice(RULES[name]).split():
        match = _SLOT.fullmatch(part)
        words += _expand(match[1], rng, used) if match else [part]
    return words


def _fill(template: str, fillings: dict[str, list[str]]) -> list[str]:
    """Replace the slots of a template by their words."""
    return [word for part in template.split() for word in fillings.get(part, [part])]


def _labeled(row: SampleRow) -> str:
    return f"{row.source}\t{row.label}\t{'' if row.label else '*'}\t{row.sentence}"


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
