"""Split of documents into sample, training and test data, decided by their text and a seed alone.

Nothing is stored or counted. So the vocabulary, the corpus and all workers of a cluster agree without communication,
and a document that occurs twice is never on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from power_bert.errors import UserError

Side = Literal["train", "test"]
SIDES: tuple[Side, ...] = ("train", "test")
_TWO_TO_64 = 2**64


@dataclass(frozen=True)
class DocumentSplit:
    """Rule that assigns documents to the training or test side.

    Sampling and splitting are independent: a smaller proportion takes a subset of the same training documents and of
    the same test documents.

    Attributes:
        test_share: Fraction of the documents that is held out for testing, at least 0 and below 1.
        proportion: Fraction of all documents that is used, above 0 and at most 1.
        seed: Seed of the assignment.
    """

    test_share: float = 0.01
    proportion: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.test_share < 1.0:
            raise UserError(f"--test-share {self.test_share}: expected a fraction from 0 to below 1, such as 0.01")
        if not 0.0 < self.proportion <= 1.0:
            raise UserError(f"--proportion {self.proportion}: expected a fraction above 0 and up to 1, such as 0.01")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed {self.seed}: expected a whole number from 0 to {2**31 - 1}")

    def side_of(self, text: str) -> Side | None:
        """Return the side of a document; None if it is not in the sample."""
        digest = blake2b(text.encode("utf-8"), digest_size=16, key=str(self.seed).encode()).digest()
        in_sample, in_test = (int.from_bytes(half, "big") / _TWO_TO_64 for half in (digest[:8], digest[8:]))
        if in_sample >= self.proportion:
            return None
        return "test" if in_test < self.test_share else "train"
