"""Tests of power_bert.corpus.vocabulary_training: WordPiece training."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.manifest import CorpusPlan
from power_bert.corpus.preparation import prepare_corpus
from power_bert.corpus.vocabulary_file import VocabularyOrigin, read_origin
from power_bert.corpus.vocabulary_training import train_vocabulary, train_vocabulary_file
from power_bert.errors import UserError
from power_bert.text.tokenizer import SPECIAL_TOKENS, WordPieceTokenizer

LINES = ["Die Katze saß auf der Matte, die Katze schlief!", "Der Hund sah die Katze. Éine 猫"] * 3


def lines() -> Iterator[str]:
    return iter(LINES)


def origin(lowercase: bool = True, **split: float) -> VocabularyOrigin:
    return VocabularyOrigin(lowercase, DocumentRules(), DocumentSplit(**split))  # type: ignore[arg-type]


def test_order_and_pieces() -> None:
    tokens = train_vocabulary(lines, 65, lowercase=True)
    assert tuple(tokens[:5]) == SPECIAL_TOKENS
    characters = [token for token in tokens if len(token) == 1]
    assert tokens[5 : 5 + len(characters)] == characters == sorted(characters)
    assert {"katze", "##e"} <= set(tokens) and not {"Katze", "É", "##,", "##猫"} & set(tokens)
    assert len(tokens) == len(set(tokens)) == 65


def test_cased_keeps_capitals_and_accents() -> None:
    assert {"Katze", "É"} <= set(train_vocabulary(lines, 120, lowercase=False))


def test_everything_is_encoded_without_unknown_tokens() -> None:
    tokenizer = WordPieceTokenizer(train_vocabulary(lines, 80, lowercase=True), lowercase=True)
    assert all(tokenizer.unknown_id not in ids for ids in tokenizer.token_ids(LINES))


def test_the_same_in_every_process(tmp_path: Path, text_file: Path, project_root: Path) -> None:
    """The trainer's hash tables are seeded anew in every process."""
    script = "import sys; from power_bert.cli import main; main()"
    outputs = []
    for number in range(2):
        out = tmp_path / f"{number}.txt"
        command = [sys.executable, "-c", script, "train-vocab", str(text_file), "--size", "90", "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, env={"PYTHONPATH": str(project_root / "code")})
        outputs.append(out.read_text(encoding="utf-8"))
    assert outputs[0] == outputs[1]


def test_test_documents_are_left_out(tmp_path: Path) -> None:
    documents = [f"common words and w{number}ord" for number in range(200)]
    (tmp_path / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    given = origin(test_share=0.3, seed=5)
    read = 0

    def count() -> None:
        nonlocal read
        read += 1

    train_vocabulary_file([str(tmp_path / "text.txt")], tmp_path / "vocab.txt", 80, given, count)
    train = [text for text in documents if given.split.side_of(text) == "train"]
    assert 100 < len(train) < 180 and read == 2 * len(train)
    expected = train_vocabulary(lambda: iter(train), 80, lowercase=True)
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split() == expected
    assert expected != train_vocabulary(lambda: iter(documents), 80, lowercase=True)


def test_a_prepared_corpus_brings_its_own_split(
    make_corpus_plan: Callable[..., CorpusPlan], vocab_file: Path, tmp_path: Path
) -> None:
    plan = make_corpus_plan(seed=2)
    prepare_corpus(plan, tmp_path / "corpus", vocab_file)
    train_vocabulary_file([str(tmp_path / "corpus")], tmp_path / "new.txt", 60, origin(), lambda: None)
    stored = read_origin(tmp_path / "new.txt")
    assert stored is not None and stored.split == plan.split and stored.rules == plan.rules


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"test_share": 0.25', '"test_share": "a quarter"'),
        lambda text: text.replace('"rules"', '"rulez"'),
        lambda text: text.replace('"empty-line"', '"page"'),
        lambda text: "[" * 10_000,
    ],
)
def test_a_damaged_origin_is_no_missing_one(damage: Callable[[str], str], tmp_path: Path, text_file: Path) -> None:
    path = tmp_path / "vocab.txt"
    train_vocabulary_file([str(text_file)], path, 60, origin(test_share=0.25), lambda: None)
    note = tmp_path / "vocab.json"
    note.write_text(damage(note.read_text()))
    with pytest.raises(UserError, match=rf"{note}|--document-separator 'page'"):
        read_origin(path)
    note.write_text('{"the": 0, "cat": 1}')  # as other tokenizers have it
    assert read_origin(path) is None


def test_origin_of_another_vocabulary_is_none(tmp_path: Path, text_file: Path) -> None:
    path = tmp_path / "new.txt"
    train_vocabulary_file([str(text_file)], path, 60, origin(lowercase=False), lambda: None)
    stored = read_origin(path)
    assert stored == origin(lowercase=False)
    path.write_text(path.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    assert read_origin(path) is None
    path.with_suffix(".json").write_text(json.dumps([1]))
    assert read_origin(path) is None


class TestBadInput:
    def test_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_text("\n \n")
        with pytest.raises(UserError, match="hold no text"):
            train_vocabulary_file([str(tmp_path / "text.txt")], tmp_path / "vocab.txt", 80, origin(), lambda: None)
        assert not (tmp_path / "vocab.txt").exists()

    def test_no_room(self) -> None:
        with pytest.raises(UserError, match=r"--size 20: the special tokens and the characters .* are \d+ tokens"):
            train_vocabulary(lines, 20, lowercase=True)

    def test_not_writable(self, tmp_path: Path, text_file: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(UserError, match="choose another --out"):
            train_vocabulary_file([str(text_file)], tmp_path / "file" / "vocab.txt", 60, origin(), lambda: None)
