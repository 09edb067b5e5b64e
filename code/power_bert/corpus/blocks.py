"""Blocks of documents: each becomes one shard. The documents of a block depend only on the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from power_bert.corpus.document_split import SIDES, DocumentSplit, Side
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.inputs import CorpusInput


@dataclass(frozen=True)
class Block:
    """Consecutive documents of one input and one side of the split.

    Attributes:
        side: "train" or "test".
        input_number: Number of the input in the corpus, from 0.
        number: Number of the block among the blocks of its input and side, from 0.
        documents: Texts of the documents.
    """

    side: Side
    input_number: int
    number: int
    documents: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the block's shard, without ending; sorting by name gives the order of the blocks."""
        return f"{self.side}/{self.input_number:06d}-{self.number:05d}"

    @property
    def digest(self) -> str:
        """Hash of the text of all documents."""
        state = blake2b(digest_size=16)
        for document in self.documents:
            text = document.encode("utf-8")
            state.update(len(text).to_bytes(8, "big") + text)
        return state.hexdigest()


def blocks_of(
    input_number: int, corpus_input: CorpusInput, rules: DocumentRules, split: DocumentSplit, max_characters: int
) -> Iterator[Block]:
    """Yield the blocks of an input, each of at least `max_characters`; only the last block of a side may be smaller."""
    waiting: dict[Side, list[str]] = {side: [] for side in SIDES}
    characters = dict.fromkeys(SIDES, 0)
    numbers = dict.fromkeys(SIDES, 0)

    def take(side: Side) -> Block:
        block = Block(side, input_number, numbers[side], tuple(waiting[side]))
        waiting[side], characters[side] = [], 0
        numbers[side] += 1
        return block

    for document in corpus_input.documents(rules):
        side = split.side_of(document)
        if side is None:
            continue
        waiting[side].append(document)
        characters[side] += len(document)
        if characters[side] >= max_characters:
            yield take(side)
    yield from (take(side) for side in SIDES if waiting[side])
