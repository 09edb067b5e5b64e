"""Counts of the labels of a task, with warnings about labels that look wrong."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from power_bert.errors import shorten
from power_bert.text.examples import Examples
from power_bert.text.targets import NUMBER

# Number of labels that are listed, the most frequent ones of the training data first.
_LISTED = 20
# What programs write for a missing value, in lower case.
_MISSING = frozenset(("nan", "na", "n/a", "<na>", "none", "null", "nil", "nat", "missing", "unknown", "undefined", "?"))


def describe_labels(labels: tuple[str, ...] | None, train: Examples, dev: Examples) -> Iterator[str]:
    """Describe which labels there are and how often, and warn of probable mistakes.

    Args:
        labels: Labels of the task in the order of their class indices; None for a regression, which yields no lines.
        train: Training data.
        dev: Dev data.

    Yields:
        Lines for the user.
    """
    if labels is None or train.labels is None or dev.labels is None:
        return
    counts = [np.bincount(part.labels, minlength=len(labels)) for part in (train, dev) if part.labels is not None]
    in_train = counts[0]
    order = np.argsort(-in_train, kind="stable")[:_LISTED] if len(labels) > _LISTED else range(len(labels))
    listed = ", ".join(f"{_quoted(labels[index])} {counts[0][index]} / {counts[1][index]}" for index in order)
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    yield f"{len(labels)} labels (training / dev examples): {listed}{more}"
    for alike in _alike(labels):
        named = _named(alike, labels, in_train)
        yield f"warning: the labels {named} differ in case, white space or form alone; if they are one, merge them"
    if missing := [index for index, label in enumerate(labels) if _folded(label) in _MISSING | {""}]:
        yield f"warning: {_named(missing, labels, in_train)} looks like a missing label; leave such rows out"
    if unseen := np.flatnonzero(in_train == 0).tolist():
        yield f"warning: no training example has the label {_named(unseen, labels)}; no model can learn it"


def _alike(labels: Sequence[str]) -> list[list[int]]:
    """Group labels that differ only in case, white space, number format or encoding of accents."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        groups[_folded(label)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _folded(label: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
    return str(float(text)) if NUMBER.fullmatch(text) else text


def _named(indices: Iterable[int], labels: Sequence[str], counts: np.ndarray | None = None) -> str:
    return shorten(
        ", ".join(
            _quoted(labels[index]) + ("" if counts is None else f" ({counts[index]} in training)") for index in indices
        )
    )


def _quoted(label: str) -> str:
    return shorten(repr(label), 60)
