"""Tests that the page's tokenizer gives the ids that the trainer's gives."""

import gzip
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import TokenizerSettings

GOLDEN = Path(__file__).with_name("golden_tokenizer.json")
# First and last character. Marks and punctuation that Unicode got after version 8, all of rare scripts, differ: the
# trainer's tables are of that version, the browser's are newer.
BLOCKS = (
    (0x00, 0x58F),  # Latin, Greek, Cyrillic, Armenian and their marks
    (0x1E00, 0x2BFF),  # letters with several marks, punctuation, currencies, mathematics, boxes, dingbats
    (0x3000, 0x9FFF),  # CJK punctuation, kana, ideographs
    (0xAC00, 0xD7A3),  # Hangul
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFE00, 0xFFFF),  # variation selectors, half and full widths
    (0x1F000, 0x1FAFF),  # emoji
    (0x20000, 0x2FA1F),  # further ideographs
    (0xE0000, 0xE01EF),  # tags and selectors
)
CHARACTERS_A_TEXT = 50


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture
def disagreements(
    run_script: Callable[..., str], site: Path, tmp_path: Path
) -> Callable[[list[str], Iterable[str]], list[str]]:
    """The texts for which JavaScript gives other ids than Python, for all settings of case, accents and CJK."""

    def compare(vocabulary: list[str], texts: Iterable[str]) -> list[str]:
        first = list(texts)
        assert first
        cases, expected = [], []
        for lowercase, strip, cjk in itertools.product((True, False), repeat=3):
            settings = TokenizerSettings(lowercase, strip_accents=strip, tokenize_chinese_chars=cjk)
            encoded = WordPieceTokenizer(Vocabulary(vocabulary, settings)).encode(first, None, 512)
            for text, ids in zip(first, encoded.token_ids, strict=True):
                cases.append({"settings": settings.to_json(), "first": text, "second": None, "max_length": 512})
                expected.append(ids.tolist())
        file = tmp_path / "cases.json"
        file.write_text(json.dumps({"vocabulary": vocabulary, "cases": cases}))
        found = json.loads(run_script("encode.mjs", file, site))
        pairs = zip(cases, expected, found, strict=True)
        return [str(case["first"]) for case, ids, (found_ids, _) in pairs if ids != found_ids]

    return compare


def test_the_golden_file_is_what_python_gives(golden: dict[str, Any]) -> None:
    for case in golden["cases"]:
        second = None if case["second"] is None else [case["second"]]
        settings = TokenizerSettings.from_json(case["settings"], "golden")
        tokenizer = WordPieceTokenizer(Vocabulary(golden["vocabulary"], settings))
        encoded = tokenizer.encode([case["first"]], second, case["max_length"])
        found = (encoded.token_ids[0].tolist(), encoded.segment_ids[0].tolist())
        assert found == (case["token_ids"], case["segment_ids"]), (
            f"{case['what']}: if the tokenizer was to change, call python tests/export/web/write_golden.py"
        )


def test_javascript_gives_the_golden_ids(golden: dict[str, Any], run_script: Callable[..., str], site: Path) -> None:
    found = json.loads(run_script("encode.mjs", GOLDEN, site))
    assert len(found) == len(golden["cases"]) > 100
    for case, ids in zip(golden["cases"], found, strict=True):
        assert ids == [case["token_ids"], case["segment_ids"]], f"{case['what']}, {case['settings']}"


@pytest.mark.slow
def test_every_character_of_common_scripts(
    golden: dict[str, Any], disagreements: Callable[[list[str], Iterable[str]], list[str]]
) -> None:
    words = [f"a{chr(code)}b" for first, last in BLOCKS for code in range(first, last + 1)]
    texts = [" ".join(words[at : at + CHARACTERS_A_TEXT]) for at in range(0, len(words), CHARACTERS_A_TEXT)]
    assert disagreements(golden["vocabulary"], texts) == []


@pytest.mark.slow
def test_real_texts_with_the_real_vocabulary(
    shared_data: Path, disagreements: Callable[[list[str], Iterable[str]], list[str]]
) -> None:
    vocabulary = (shared_data / "bert_uncased_vocab.txt").read_text(encoding="utf-8").splitlines()
    with gzip.open(shared_data / "corpus" / "gutenberg_en.txt.gz", "rt", encoding="utf-8") as file:
        book_lines = list(itertools.islice(file, 0, None, 100))
    mrpc_lines = (shared_data / "glue" / "MRPC" / "dev.tsv").read_text(encoding="utf-8").splitlines()
    assert disagreements(vocabulary, [*vocabulary, *mrpc_lines, *book_lines]) == []
