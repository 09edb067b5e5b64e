"""Tests of power_bert.corpus.blocks: which documents a block has, and its name and digest."""

from pathlib import Path

import pytest

from power_bert.corpus.blocks import Block, blocks_of
from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.inputs import FileInput

DOCUMENTS = [f"document {number}{'x' * (number % 7)}" for number in range(50)]


@pytest.fixture
def corpus_input(tmp_path: Path) -> FileInput:
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(DOCUMENTS) + "\n", encoding="utf-8")
    return FileInput((str(path),), (path.stat().st_size,))


def blocks(corpus_input: FileInput, max_characters: int = 60, **split: float) -> list[Block]:
    rules = DocumentRules()
    return list(blocks_of(3, corpus_input, rules, DocumentSplit(**{"test_share": 0.3, **split}), max_characters))  # type: ignore[arg-type]


def test_every_document_once_in_its_order(corpus_input: FileInput) -> None:
    split = DocumentSplit(test_share=0.3)
    found = blocks(corpus_input)
    for side in ("train", "test"):
        documents = [document for block in found if block.side == side for document in block.documents]
        assert documents == [document for document in DOCUMENTS if split.side_of(document) == side]
        assert [block.number for block in found if block.side == side] == list(
            range(sum(block.side == side for block in found))
        )


def test_a_block_ends_with_the_document_that_fills_it(corpus_input: FileInput) -> None:
    found = blocks(corpus_input)
    last = {block.side: block for block in found}
    for block in found:
        sizes = [len(document) for document in block.documents]
        assert sum(sizes[:-1]) < 60
        assert sum(sizes) >= 60 or block == last[block.side]


def test_one_block_a_side_where_all_fits(corpus_input: FileInput) -> None:
    assert [block.name for block in blocks(corpus_input, 10**6)] == ["train/000003-00000", "test/000003-00000"]
    assert [block.side for block in blocks(corpus_input, 10**6, test_share=0.0)] == ["train"]


def test_documents_out_of_the_sample_are_in_no_block(corpus_input: FileInput) -> None:
    some = [document for block in blocks(corpus_input, proportion=0.4) for document in block.documents]
    assert 0 < len(some) < len(DOCUMENTS)
    everything = [document for block in blocks(corpus_input) for document in block.documents]
    assert set(some) < set(everything)


def test_names_sort_as_the_blocks_do() -> None:
    names = [Block("train", number, block, ()).name for number in (0, 9, 10, 12345) for block in (0, 2, 11)]
    assert names == sorted(names) and names[0] == "train/000000-00000"


@pytest.mark.parametrize("other", [("ab", "c"), ("abc",), ("a", "bd"), ("a",), ("bc", "a"), ()])
def test_the_digest_changes_with_the_text_and_its_cuts(other: tuple[str, ...]) -> None:
    digest = Block("train", 0, 0, ("a", "bc")).digest
    assert Block("train", 0, 0, other).digest != digest
    assert Block("test", 5, 7, ("a", "bc")).digest == digest
