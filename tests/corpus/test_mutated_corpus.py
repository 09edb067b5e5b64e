"""Damaged text files and damaged notes of a corpus: the right value or a short message."""

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from mutations import mutated, mutation_settings, value_or_user_error
from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules, read_corpus_documents
from power_bert.corpus.manifest import stored_choice, stored_corpus
from power_bert.corpus.shards import Shard, finished_shard, read_shard, write_shard
from power_bert.corpus.vocabulary_file import VocabularyOrigin, read_origin, write_vocabulary
from power_bert.errors import UserError

TEXT = "A cat sat.\nIt slept.\n\nA dög ran.\n\n\nThe mouse saw it.\n".encode()
TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat")
ORIGIN = VocabularyOrigin(True, DocumentRules(), DocumentSplit(0.25))
SHARD = Shard("train/000000-00000", 2, 3, 20, 1, "", "ab" * 16)
RECORDS = np.arange(27, dtype=np.int32).reshape(3, 9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus with one shard."""
    folder = tmp_path_factory.mktemp("corpus")
    write_vocabulary(folder / "vocab.txt", TOKENS, ORIGIN)
    shard = write_shard(folder, SHARD, RECORDS)
    origin = json.loads((folder / "vocab.json").read_text())
    plan = {"sources": ["a"], "rules": origin["rules"], "split": origin["split"], "lowercase": True, "length": 9}
    (folder / "plan.json").write_text(json.dumps(plan | {"vocabulary_sha256": origin["vocabulary_sha256"]}))
    (folder / "manifest.json").write_text(json.dumps({"totals": {}, "shards": [dataclasses.asdict(shard)]}))
    return folder


class Damaged:
    """Replaces a file while the block runs."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data = path, data

    def __enter__(self) -> None:
        self.original = self.path.read_bytes()
        self.path.write_bytes(self.data)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.original)


@mutation_settings
@given(mutated(TEXT))
def test_documents(folder: Path, data: bytes) -> None:
    (folder / "text").write_bytes(data)
    documents = value_or_user_error(lambda: list(read_corpus_documents(folder / "text", DocumentRules())))
    if documents is not None and not data.startswith(b"\x1f\x8b"):
        lines = [line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").decode().split("\n")]
        assert [line for document in documents for line in document.split("\n")] == list(filter(None, lines))


@mutation_settings
@given(mutated(gzip.compress(TEXT, mtime=0)))
def test_packed_documents(folder: Path, data: bytes) -> None:
    (folder / "text").write_bytes(data)
    value_or_user_error(lambda: list(read_corpus_documents(folder / "text", DocumentRules())))


class TestNotes:
    @mutation_settings
    @given(mutated(json.dumps(dataclasses.asdict(ORIGIN) | {"vocabulary_sha256": "0" * 64}).encode()))
    def test_origin(self, folder: Path, data: bytes) -> None:
        sha256 = json.loads((folder / "vocab.json").read_text())["vocabulary_sha256"]
        with Damaged(folder / "vocab.json", data.replace(b"0" * 64, sha256.encode())):
            origin = value_or_user_error(lambda: read_origin(folder / "vocab.txt"))
        assert origin is None or isinstance(origin.split.test_share, int | float)

    @pytest.mark.parametrize("name", ["plan.json", "manifest.json"])
    def test_plan_and_manifest(self, folder: Path, name: str) -> None:
        @mutation_settings
        @given(mutated((folder / name).read_bytes()))
        def check(data: bytes) -> None:
            with Damaged(folder / name, data):
                corpus = value_or_user_error(lambda: stored_corpus(folder))
                value_or_user_error(lambda: stored_choice(folder))
            assert corpus is None or all(type(shard.records) is int for shard in corpus.shards)

        check()

    def test_shard(self, folder: Path) -> None:
        note = folder / f"{SHARD.name}.json"
        shard = finished_shard(folder, SHARD.name, SHARD.text_digest)
        assert shard is not None and np.array_equal(read_shard(folder, shard, 9), RECORDS)

        @mutation_settings
        @given(mutated(note.read_bytes()))
        def check(data: bytes) -> None:
            with Damaged(note, data):
                found = finished_shard(folder, SHARD.name, SHARD.text_digest)
            assert found is None or found.text_digest == SHARD.text_digest

        check()

    def test_an_unreadable_origin_is_not_taken_for_none(self, folder: Path) -> None:
        with (
            Damaged(folder / "vocab.json", b'{"vocabulary_sha256": '),
            pytest.raises(UserError, match=r"vocab\.json, line 1: not valid JSON .*or delete it"),
        ):
            read_origin(folder / "vocab.txt")
