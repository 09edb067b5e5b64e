"""Tests of power_bert.corpus.document_split: a pure function of text and seed."""

import numpy as np
import pytest

from power_bert.corpus.document_split import DocumentSplit
from power_bert.errors import UserError

TEXTS = [f"document {number}" for number in range(4000)]


def sides(split: DocumentSplit) -> list[str | None]:
    return [split.side_of(text) for text in TEXTS]


def test_shares() -> None:
    assigned = sides(DocumentSplit(test_share=0.2, proportion=0.5))
    used = [side for side in assigned if side]
    # Four standard deviations of the binomial distribution.
    assert abs(len(used) - 2000) < 4 * np.sqrt(4000 * 0.25)
    assert abs(used.count("test") - 0.2 * len(used)) < 4 * np.sqrt(len(used) * 0.16)


def test_a_sample_takes_some_of_the_same_documents() -> None:
    whole, sample = sides(DocumentSplit(0.2)), sides(DocumentSplit(0.2, proportion=0.1))
    assert all(small in (None, large) for small, large in zip(sample, whole, strict=True))


def test_the_seed_decides() -> None:
    assert sides(DocumentSplit(0.2, seed=3)) == sides(DocumentSplit(0.2, seed=3)) != sides(DocumentSplit(0.2, seed=4))
    assert set(sides(DocumentSplit(0.0))) == {"train"}


def test_it_never_changes() -> None:
    """Corpora and vocabularies of different versions must agree on what the test is."""
    split = DocumentSplit(0.1, proportion=0.9)
    assert [TEXTS[i] for i in range(60) if split.side_of(TEXTS[i]) == "test"] == [
        "document 3",
        "document 5",
        "document 14",
        "document 19",
        "document 35",
        "document 40",
    ]


@pytest.mark.parametrize(
    "values",
    [{"test_share": 1.0}, {"test_share": -0.1}, {"proportion": 0.0}, {"proportion": 1.1}, {"seed": -1}],
)
def test_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(UserError, match="expected"):
        DocumentSplit(**values)  # type: ignore[arg-type]
