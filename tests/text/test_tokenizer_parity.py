"""The tokenizer of a checkpoint folder gives the ids that Hugging Face's gives for the same folder."""

import itertools
import json
import string
from pathlib import Path
from typing import Any

import pytest

from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*string.ascii_letters, *"äöüéÉßσςΣ中国日本東京ー한글", *string.punctuation, "¿", "“"]
WORDS = ["schon", "schön", "Schön", "naive", "naïve", "中国", "東京", "the", "cat"]
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS if letter.isalpha()), *WORDS]
TEXTS = [
    "Schön schon SCHÖN scho\u0308n naïve cats",
    "東京タワー 中国the日本\U00020000 한글",
    "ΟΔΟΣ σς Σ İstanbul ﬁne Straße Éé",
    "th\u0000e\u00adc\u200bat\ufffd \u00a0cat\u2028the\u3000x\x85y",
    "e-mail: a.b@c.de $5 ¿“cat” ~`^ x" + "y" * 101,
    "the [MASK] cat[SEP] [mask] [CLS",
    "👨‍👩‍👧🏽 café\u0301 ΐ \u1e9e ǆ",
    "",
]


def write_folder(folder: Path, vocabulary: list[str], **config: Any) -> None:
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **config}))


def assert_equal_ids(folder: Path, texts: list[str]) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra 'parity'")
    vocabulary = read_tokenizer(folder)
    assert vocabulary is not None
    ours, theirs = WordPieceTokenizer(vocabulary), transformers.BertTokenizer.from_pretrained(folder)
    expected = [theirs.encode(text) for text in texts]
    encoded = ours.encode(texts, None, 300)
    for text, ids, of_theirs in zip(texts, encoded.token_ids, expected, strict=True):
        assert ids.tolist() == of_theirs, text
    pair = theirs(texts[0], texts[1])
    encoded = ours.encode(texts[:1], texts[1:2], 300)
    assert encoded.token_ids[0].tolist() == pair["input_ids"]
    assert encoded.segment_ids[0].tolist() == pair["token_type_ids"]


@pytest.mark.parametrize(
    ("lowercase", "strip", "cjk"), list(itertools.product((True, False), (None, True, False), (True, False)))
)
def test_case_accents_and_ideographs(tmp_path: Path, lowercase: bool, strip: bool | None, cjk: bool) -> None:
    write_folder(tmp_path, VOCABULARY, do_lower_case=lowercase, strip_accents=strip, tokenize_chinese_chars=cjk)
    assert_equal_ids(tmp_path, TEXTS)


def test_repeated_and_empty_lines(tmp_path: Path) -> None:
    write_folder(tmp_path, [*VOCABULARY, "", "the", "schon", "", "x"], do_lower_case=True)
    assert_equal_ids(tmp_path, TEXTS)


def test_special_tokens_of_other_names(tmp_path: Path) -> None:
    names = {
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    write_folder(tmp_path, [*names.values(), *VOCABULARY], do_lower_case=True, **names)
    assert_equal_ids(tmp_path, [*TEXTS, "<s>the<mask> ☃ </s>"])


def test_added_tokens(tmp_path: Path) -> None:
    flags = {"lstrip": False, "rstrip": False, "single_word": False}
    added = {"[E1]": False, "Covid": True, "[E10]": False, "naïf": True}
    decoder = {
        str(len(VOCABULARY) + number): {"content": token, "normalized": normalized, "special": False, **flags}
        for number, (token, normalized) in enumerate(added.items())
    }
    write_folder(tmp_path, VOCABULARY, do_lower_case=True, added_tokens_decoder=decoder)
    assert_equal_ids(tmp_path, [*TEXTS, "[E1]the [E10]x [e1] COVID covids nocovidhere Naïf naif NAÏFS"])


def test_tokenizer_json_alone(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra 'parity'")
    write_folder(tmp_path, VOCABULARY, do_lower_case=False, strip_accents=True)
    saved = tmp_path / "saved"
    transformers.BertTokenizer.from_pretrained(tmp_path).save_pretrained(saved)
    (saved / "vocab.txt").unlink(missing_ok=True)
    assert_equal_ids(saved, TEXTS)
    (saved / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "TokenizersBackend"}))
    vocabulary = read_tokenizer(saved)
    assert vocabulary == VOCABULARY
    assert (vocabulary.settings.lowercase, vocabulary.settings.strip_accents) == (False, True)
