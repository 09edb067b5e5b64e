"""Tests of power_bert.text.label_counts."""

import numpy as np
import pytest

from power_bert.text.examples import Examples
from power_bert.text.label_counts import describe_labels


def lines(labels: tuple[str, ...] | None, train: list[int], dev: list[int]) -> list[str]:
    def examples(classes: list[int]) -> Examples:
        return Examples([""] * len(classes), None, np.array(classes, np.int64))

    return list(describe_labels(labels, examples(train), examples(dev)))


def test_labels_are_listed_with_counts() -> None:
    assert lines(("neg", "pos"), [0, 1, 1], [1]) == ["2 labels (training / dev examples): 'neg' 1 / 0, 'pos' 2 / 1"]
    assert lines(None, [0], [0]) == []


def test_of_many_labels_the_most_frequent_are_listed() -> None:
    (line,) = lines(tuple(f"intent {number}" for number in range(60)), [*range(60), 59, 59, 58], [59])
    assert line.startswith(
        "60 labels (training / dev examples): 'intent 59' 3 / 1, 'intent 58' 2 / 0, 'intent 0' 1 / 0"
    )
    assert line.endswith(" and 40 more") and "'intent 17'" in line and "'intent 18'" not in line


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (
            ("pos", "pos "),
            "the labels 'pos' (1 in training), 'pos ' (2 in training) differ in case, white space or form",
        ),
        (("NEG", "neg"), "the labels 'NEG' (1 in training), 'neg' (2 in training) differ in case"),
        (("a  b", "a\u00a0b"), "the labels 'a  b' (1 in training), 'a\\xa0b' (2 in training) differ in case"),
        (("caf\u00e9", "cafe\u0301"), "the labels 'caf\u00e9' (1 in training), 'cafe\u0301' (2 in training) differ"),
        (("1", "1.0"), "the labels '1' (1 in training), '1.0' (2 in training) differ in case, white space or form"),
        (("nan", "pos"), "'nan' (1 in training) looks like a missing label"),
        ((" ", "pos"), "' ' (1 in training) looks like a missing label"),
        (("pos", "N/A"), "'N/A' (2 in training) looks like a missing label"),
    ],
)
def test_warnings(labels: tuple[str, ...], warning: str) -> None:
    _, line = lines(labels, [0, 1, 1], [0, 1])
    assert line.startswith(f"warning: {warning}")


def test_a_label_without_training_examples() -> None:
    _, line = lines(("art", "music", "sport"), [0, 2], [1, 1])
    assert line == "warning: no training example has the label 'music'; no model can learn it"


@pytest.mark.parametrize("labels", [("0", "1"), ("-1", "1"), ("entailment", "not_entailment"), ("a b", "ab")])
def test_good_labels_are_not_warned_of(labels: tuple[str, ...]) -> None:
    assert len(lines(labels, [0, 1], [0, 1])) == 1
