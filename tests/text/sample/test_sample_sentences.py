"""Tests of the sample data set: layout, determinism, and that a model without word order fails on it."""

import csv
import hashlib
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.sample.sample_lexicon import RULES, WORDS
from power_bert.text.sample.sample_patterns import PATTERNS, Pattern
from power_bert.text.sample.sample_sentences import minimal_pair, sentence_of, write_sample

TRAIN_SHA256 = "5c7690e9ac07db2db3ab92e1f312c60bae305b6ea9614f49d863612629ddf57f"
FILES = ("train.tsv", "dev.tsv", "test.tsv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sample") / "CoLA"
    write_sample(target)
    return target


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def sentences_of(folder: Path) -> list[str]:
    return [row[-1] for name in FILES for row in rows_of(folder / name)[name == "test.tsv" :]]


def words_of(sentence: str) -> list[str]:
    return re.findall(r"[a-z']+", sentence.lower())


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
    if predictions.min() == predictions.max():
        return 0.0
    return float(np.corrcoef(labels, predictions)[0, 1])


def logistic_regression(inputs: np.ndarray, labels: np.ndarray, steps: int, decay: float) -> np.ndarray:
    """Weights (features,) by gradient descent with momentum on the mean log loss plus L2."""
    weights = np.zeros(inputs.shape[1], np.float32)
    velocity = np.zeros_like(weights)
    for _ in range(steps):
        probabilities = 1 / (1 + np.exp(-(inputs @ weights)))
        gradient = inputs.T @ (probabilities - labels) / len(labels) + decay * weights
        velocity = 0.9 * velocity - 2.0 * gradient
        weights += velocity
    return weights


def word_counts(sentences: list[str], vocabulary: dict[str, int]) -> np.ndarray:
    """float32 (sentences, words)."""
    counts = np.zeros((len(sentences), len(vocabulary)), np.float32)
    for row, sentence in enumerate(sentences):
        for word in words_of(sentence):
            if word in vocabulary:
                counts[row, vocabulary[word]] += 1
    return counts


def tf_idf(counts: np.ndarray, document_frequency: np.ndarray) -> np.ndarray:
    """Rows of length 1, and a constant column for the bias: float32 (sentences, words + 1)."""
    weighted = counts * (1 - np.log(document_frequency))
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    return np.concatenate([weighted, np.ones((len(counts), 1))], axis=1).astype(np.float32)


def test_layout_is_that_of_glue(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name, size in (("train.tsv", 4000), ("dev.tsv", 500)):
        rows = rows_of(folder / name)
        assert len(rows) == size
        for row in rows:
            source, label, mark, sentence = row
            assert re.fullmatch(r"[a-z]{3}\d", source)
            assert (label, mark) in {("1", ""), ("0", "*")}
            assert source not in sentence
    header, *rows = rows_of(folder / "test.tsv")
    assert header == ["index", "sentence"]
    assert [row[0] for row in rows] == [str(index) for index in range(500)]
    assert all(len(row) == 2 for row in rows)


def test_bytes_are_plain(folder: Path) -> None:
    for name in FILES:
        data = (folder / name).read_bytes()
        assert data.isascii()
        assert data.endswith(b"\n") and b"\r" not in data and b"\n\n" not in data and b"*" not in data.split(b"\t")[-1]


def test_sentences_are_written_like_sentences(folder: Path) -> None:
    for sentence in sentences_of(folder):
        assert re.fullmatch(r"[A-Z][A-Za-z', ]*[A-Za-z][.?]", sentence), sentence
        assert "  " not in sentence and " ," not in sentence


def test_default_sample_is_pinned(folder: Path) -> None:
    assert hashlib.sha256((folder / "train.tsv").read_bytes()).hexdigest() == TRAIN_SHA256


def test_seed_decides(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sample(tmp_path / name, seed=seed, train_size=40, dev_size=10, test_size=10)
        contents.append([(tmp_path / name / file).read_bytes() for file in FILES])
    assert contents[0] == contents[1]
    assert all(left != right for left, right in zip(contents[0], contents[2], strict=True))


def test_train_size_leaves_the_other_splits_alone(folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "small", train_size=1)
    for name in ("dev.tsv", "test.tsv"):
        assert (tmp_path / "small" / name).read_bytes() == (folder / name).read_bytes()


def test_older_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "CoLA").mkdir()
    (tmp_path / "CoLA" / "train.tsv").write_text("old")
    write_sample(tmp_path / "CoLA", train_size=3, dev_size=2, test_size=1)
    assert "old" not in (tmp_path / "CoLA" / "train.tsv").read_text()
    assert sorted(path.name for path in tmp_path.rglob("*.tsv")) == sorted(FILES)


def test_no_two_sentences_have_the_same_words(folder: Path) -> None:
    bags = Counter(tuple(sorted(words_of(sentence))) for sentence in sentences_of(folder))
    assert max(bags.values()) == 1


@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
def test_label_balance(folder: Path, name: str) -> None:
    labels = [int(row[1]) for row in rows_of(folder / name)]
    assert 0.57 < np.mean(labels) < 0.70


def test_every_phenomenon_has_both_labels(folder: Path) -> None:
    seen = {(row[0], row[1]) for row in rows_of(folder / "train.tsv")}
    assert seen == {(pattern.source, label) for pattern in PATTERNS for label in "01"}


def test_lengths_are_spread(folder: Path) -> None:
    lengths = np.array([len(sentence.split()) for sentence in sentences_of(folder)])
    assert 11 <= lengths.mean() <= 13
    assert lengths.min() >= 3 and 25 <= lengths.max() <= 34
    assert np.percentile(lengths, 10) <= 7 and np.percentile(lengths, 90) >= 17


def test_vocabulary_has_several_hundred_words(folder: Path) -> None:
    assert 600 < len({word for sentence in sentences_of(folder) for word in words_of(sentence)}) < 2000


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: f"{pattern.source}-{pattern.good}")
def test_pairs_are_permutations(pattern: Pattern) -> None:
    for seed in range(5):
        good, bad = minimal_pair(pattern, random.Random(seed))
        assert good != bad and sorted(good) == sorted(bad)


def test_rules_name_existing_slots() -> None:
    texts = [text for alternatives in RULES.values() for text in alternatives]
    texts += [text for pattern in PATTERNS for text in (pattern.good, pattern.bad)]
    slots = {slot for text in texts for slot in re.findall(r"\{(\w+)", text)}
    assert slots <= RULES.keys() | WORDS.keys()
    assert not RULES.keys() & WORDS.keys()


def test_agreement_pair_differs_in_the_subject_alone() -> None:
    pattern = next(pattern for pattern in PATTERNS if pattern.source == "agr1")
    assert pattern.good == "{np_sg} {prep} {np_pl} {vp_sg}"
    assert pattern.bad == "{np_pl} {prep} {np_sg} {vp_sg}"
    mirrored = [pattern for pattern in PATTERNS if pattern.source == "agr1"][1]
    assert (mirrored.good, mirrored.bad) == ("{np_pl} {prep} {np_sg} {vp_pl}", "{np_sg} {prep} {np_pl} {vp_pl}")


def test_sentence_of() -> None:
    assert sentence_of(["in", "fact", ",", "he", "slept", ",", "didn't", "he", "?"]) == "In fact, he slept, didn't he?"


@pytest.mark.slow
@pytest.mark.parametrize("leak", [False, True])
def test_bag_of_words_stays_near_chance(folder: Path, leak: bool) -> None:
    """The words do not tell the label; the control, with a word that does in half of the bad sentences, is found."""
    train, dev = rows_of(folder / "train.tsv"), rows_of(folder / "dev.tsv")
    if leak:
        for position, row in enumerate(train + dev):
            row[3] += " indeed" if row[1] == "0" and position % 2 else ""
    words = sorted({word for row in train for word in words_of(row[3])})
    vocabulary = {word: index for index, word in enumerate(words)}
    counts, dev_counts = (word_counts([row[3] for row in rows], vocabulary) for rows in (train, dev))
    labels, dev_labels = (np.array([int(row[1]) for row in rows]) for rows in (train, dev))
    frequency = (counts > 0).mean(axis=0)
    weights = logistic_regression(tf_idf(counts, frequency), labels, steps=100, decay=1e-5)
    score = matthews(dev_labels, tf_idf(dev_counts, frequency) @ weights > 0)
    assert score > 0.5 if leak else abs(score) < 0.2


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "MRPC").mkdir()
    with pytest.raises(UserError, match=r"holds other files \(MRPC\).*Give another folder"):
        write_sample(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file: is a file"):
        write_sample(tmp_path / "file")
    assert (tmp_path / "MRPC").is_dir() and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["train_size", "dev_size", "test_size"])
@pytest.mark.parametrize("size", [0, -3])
def test_bad_size(tmp_path: Path, name: str, size: int) -> None:
    with pytest.raises(UserError, match=rf"{name} is {size}.*at least 1"):
        write_sample(tmp_path / "CoLA", **{name: size})
    assert not list(tmp_path.iterdir())


def test_too_large_a_size_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prt = next(pattern for pattern in PATTERNS if pattern.good == "{np} picked it up")
    monkeypatch.setattr(
        "power_bert.text.sample.sample_sentences.PATTERNS",
        [prt._replace(frame="bare", good="we slept", bad="slept we")],
    )
    with pytest.raises(UserError, match="Choose smaller sizes"):
        write_sample(tmp_path / "CoLA", train_size=100_000)
    assert not list(tmp_path.iterdir())
