"""Tests of power_bert.corpus.documents and inputs: from files to documents."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from mutations import mutated, mutation_settings
from power_bert.corpus.documents import DocumentRules, read_corpus_documents, split_documents
from power_bert.corpus.inputs import list_inputs
from power_bert.errors import UserError
from power_bert.storage import archives

TEXT = "\ufeffFirst line. \r\n\tsecond line\n\n\n \nAnother document.\nwith é and ß\n"
DOCUMENTS = ["First line.\nsecond line", "Another document.\nwith é and ß"]


def documents_of(path: Path, **rules: Any) -> list[str]:
    return list(read_corpus_documents(path, DocumentRules(**rules)))


class TestDocuments:
    @pytest.mark.parametrize("name", ["text.txt", "text.txt.gz", "no_ending"])
    def test_plain_and_gzip_whatever_the_name(self, name: str, tmp_path: Path) -> None:
        plain, packed = tmp_path / f"plain_{name}", tmp_path / f"packed_{name}"
        plain.write_bytes(TEXT.encode())
        packed.write_bytes(gzip.compress(TEXT.encode()))
        assert documents_of(plain) == documents_of(packed) == DOCUMENTS

    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            ({"separator": "line"}, ["a b", "c", "d"]),
            ({"separator": "file"}, ["a b\nc\nd"]),
            ({"max_characters": 3}, ["a b", "c", "d"]),
            ({"max_characters": 4}, ["a b\nc", "d"]),
            ({"separator": "file", "max_characters": 4}, ["a b\nc", "d"]),
        ],
    )
    def test_rules(self, rules: dict[str, Any], expected: list[str]) -> None:
        assert list(split_documents(iter(["", "a b", "c", "", "d"]), DocumentRules(**rules))) == expected

    def test_only_one_document_is_held(self) -> None:
        taken = 0

        def endless() -> Iterator[str]:
            nonlocal taken
            while True:
                taken += 1
                yield "a line" if taken % 3 else ""

        documents = split_documents(endless(), DocumentRules())
        assert [next(documents) for _ in range(2)] == ["a line\na line"] * 2
        assert taken == 6


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"text\n\x89PNG\x0d\x0a", r"line 2: byte 0x89 is not UTF-8\. Give UTF-8 text"),
            (b"text\nmore\n\x00\x01\n", r"line 3: holds a zero byte, so the file is binary"),
            (gzip.compress(b"many lines\n" * 5000, mtime=0)[:-40], r"damaged after line \d+ .*pack it again"),
            (gzip.compress(b"text", mtime=0)[:-8] + b"12345678", r"damaged after line 0 \(CRC check failed"),
        ],
    )
    def test_no_text(self, content: bytes, message: str, tmp_path: Path) -> None:
        path = tmp_path / "bad.txt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path}.*{message}"):
            documents_of(path)

    def test_a_gzip_file_that_unpacks_to_far_more_than_text_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archives, "_SMALL_BYTES", 2**20)
        path = tmp_path / "bomb.txt.gz"
        path.write_bytes(gzip.compress((b"word " * 100 + b"\n\n") * 2**12))
        with pytest.raises(UserError, match=rf"{path}: unpacks to more than [\d,]+ bytes, which no text does"):
            documents_of(path)

    @pytest.mark.parametrize("packed", [False, True])
    def test_mutations(self, packed: bool, tmp_path: Path) -> None:
        original = gzip.compress(TEXT.encode(), mtime=0) if packed else TEXT.encode()
        path = tmp_path / "text"

        @mutation_settings
        @given(mutated(original))
        def check(data: bytes) -> None:
            path.write_bytes(data)
            try:
                found = documents_of(path)
            except UserError as error:
                assert str(path) in str(error) and len(str(error)) < 600
                return
            if data.startswith(b"\x1f\x8b"):
                assert found == DOCUMENTS or not packed, "a gzip file is whole or refused"
            assert all(document and "\x00" not in document for document in found)

        check()

    def test_a_line_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("power_bert.corpus.documents._MAX_LINE_BYTES", 100)
        path = tmp_path / "bad.txt"
        path.write_bytes(b"short\n" + b"x" * 101)
        with pytest.raises(UserError, match="line 2: longer than 100 bytes, which is no text"):
            documents_of(path)

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be read"):
            documents_of(tmp_path / "absent")

    @pytest.mark.parametrize("rules", [{"separator": "page"}, {"max_characters": 0}])
    def test_unknown_rules(self, rules: dict[str, Any]) -> None:
        with pytest.raises(UserError, match="expected"):
            DocumentRules(**rules)


class TestInputs:
    def test_files_and_folders_in_a_fixed_order(self, tmp_path: Path) -> None:
        folder = tmp_path / "texts"
        for name in ("b.txt", "a/z.txt.gz", "MANIFEST.tsv", "a/y.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
        single = tmp_path / "MANIFEST"
        single.write_text("x")
        (grouped,) = list_inputs([str(folder), str(single)])
        assert [Path(path).name for path in grouped.paths] == ["y.txt", "z.txt.gz", "b.txt", "MANIFEST"]  # type: ignore[union-attr]

    def test_large_files_are_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("power_bert.corpus.inputs._INPUT_BYTES", 10)
        for name, size in (("a", 4), ("b", 4), ("c", 30), ("d", 4)):
            (tmp_path / f"{name}.txt").write_text("x" * size)
        inputs = list_inputs([str(tmp_path)])
        assert [[Path(path).stem for path in each.paths] for each in inputs] == [["a", "b"], ["c"], ["d"]]  # type: ignore[union-attr]

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no such file or folder"):
            list_inputs([str(tmp_path / "absent")])
        (tmp_path / "table.tsv").write_text("x")
        with pytest.raises(UserError, match=r"no \.txt or \.txt\.gz file in it"):
            list_inputs([str(tmp_path)])


@pytest.mark.slow
class TestTfds:
    @pytest.fixture
    def tales(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """A data set of seven examples with two texts each."""
        tfds = pytest.importorskip("tensorflow_datasets")

        class PowerBertTales(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc, name-defined]
            VERSION = tfds.core.Version("1.0.0")

            def _info(self) -> Any:
                texts = {name: tfds.features.Text() for name in ("title", "tale")}
                features = tfds.features.FeaturesDict({**texts, "stars": np.int64})
                return self.dataset_info_from_configs(features=features)

            def _split_generators(self, manager: Any) -> dict[str, Any]:
                return {"train": self._generate_examples()}

            def _generate_examples(self) -> Iterator[Any]:
                for number in range(7):
                    yield number, {"title": f"Tale {number}", "tale": "Once.\n\nTwice.", "stars": number}

        builder = tfds.builder
        monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))
        return "tfds:power_bert_tales"

    def test_all_texts_of_all_examples(self, tales: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("power_bert.corpus.inputs._TFDS_EXAMPLES", 3)
        inputs = list_inputs([tales])
        documents = [list(part.documents(DocumentRules())) for part in inputs]
        assert [len(part) for part in documents] == [6, 6, 2]
        first = {text for part in documents for text in part[::2]}
        assert first == {f"Tale {number}\nOnce." for number in range(7)}

    def test_mock_data(self) -> None:
        tfds = pytest.importorskip("tensorflow_datasets")
        with tfds.testing.mock_data(num_examples=5):
            (whole,) = list_inputs(["tfds:glue/mrpc"])
            assert len(list(whole.documents(DocumentRules(max_characters=10**9, separator="file")))) == 5

    def test_unknown(self) -> None:
        pytest.importorskip("tensorflow_datasets")
        with pytest.raises(UserError, match="tfds:no_such_set: no such data set"):
            list_inputs(["tfds:no_such_set"])
