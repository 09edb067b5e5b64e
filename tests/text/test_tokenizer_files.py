"""The tokenizer files of a Hugging Face checkpoint: what is honored, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from power_bert.errors import UserError
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##s", "cat"]
IDS = {token: index for index, token in enumerate(VOCABULARY)}
NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": False,
    "strip_accents": None,
    "lowercase": False,
}


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


def write_json(folder: Path, model: dict[str, Any] | None = None, **parts: Any) -> None:
    write(folder, "tokenizer.json", {"model": {"type": "WordPiece", "vocab": IDS, **(model or {})}, **parts})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return tmp_path


def read(folder: Path) -> Vocabulary:
    vocabulary = read_tokenizer(folder)
    assert vocabulary is not None
    return vocabulary


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_tokenizer(folder)
    return str(caught.value)


def test_nothing_but_a_vocabulary(folder: Path) -> None:
    assert read(folder) == VOCABULARY and read(folder).settings == TokenizerSettings()
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, "Cat"]))
    assert read(folder).settings == TokenizerSettings(lowercase=False)  # guessed
    (folder / "vocab.txt").unlink()
    assert read_tokenizer(folder) is None


def test_settings_of_the_config(folder: Path) -> None:
    write(folder, "tokenizer_config.json", {"do_lower_case": False, "strip_accents": True, "never_split": ["[UNK]"]})
    assert read(folder).settings == TokenizerSettings(lowercase=False, strip_accents=True)
    write(folder, "tokenizer_config.json", {"tokenize_chinese_chars": False, "do_lower_case": None})
    assert read(folder).settings == TokenizerSettings(tokenize_chinese_chars=False)


def test_tokenizer_json_alone_is_enough(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    write_json(folder)
    assert read(folder) == VOCABULARY and read(folder).settings == TokenizerSettings()
    write_json(folder, {"vocab": {**IDS, "a\nb": 8, "dog": 11}}, normalizer=NORMALIZER)
    assert read(folder) == [*VOCABULARY, "[unused 8]", "[unused 9]", "[unused 10]", "dog"]
    assert read(folder).settings == TokenizerSettings(lowercase=False, tokenize_chinese_chars=False)


def test_the_config_counts_before_tokenizer_json_unless_the_class_has_no_settings(folder: Path) -> None:
    write_json(folder, normalizer=NORMALIZER)
    write(folder, "tokenizer_config.json", {"do_lower_case": True})
    assert read(folder).settings == TokenizerSettings(lowercase=True, tokenize_chinese_chars=False)
    assert read(folder).notes == (
        f"{folder / 'tokenizer.json'}: lowercase is false, but tokenizer_config.json says true, which counts",
    )
    write(folder, "tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "PreTrainedTokenizerFast"})
    assert not read(folder).settings.lowercase
    assert "tokenizer_config.json: lowercase is true, but tokenizer.json says false" in read(folder).notes[0]


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_special_tokens_of_other_names(folder: Path, name: str) -> None:
    (folder / "vocab.txt").write_text("<pad>\n<unk>\n<s>\n</s>\nthe\n")
    assert "special tokens are missing: [CLS], [PAD], [SEP], [UNK]" in refusal(folder)
    write(folder, name, {"pad_token": "<pad>", "unk_token": {"content": "<unk>", "lstrip": False}, "cls_token": "<s>"})
    assert str(folder / "vocab.txt") in refusal(folder) and "special tokens are missing: [SEP]" in refusal(folder)
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<m>"}
    write(folder, name, special)
    vocabulary = read(folder)
    assert vocabulary.settings == TokenizerSettings(**special)  # type: ignore[arg-type]
    assert vocabulary == ["<pad>", "<unk>", "<s>", "</s>", "the"]  # no mask is made up
    assert vocabulary.notes == (f"{folder / 'vocab.txt'}: no token <m>; only pretrain and --augment mask need it",)
    assert WordPieceTokenizer(vocabulary).encode(["the"], None, 5).token_ids[0].tolist() == [2, 4, 3]


def test_special_tokens_of_tokenizer_json(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    ids = {"[PAD]": 0, "?": 1, "<s>": 2, "</s>": 3, "the": 4}
    processor = {"type": "BertProcessing", "cls": ["<s>", 2], "sep": ["</s>", 3]}
    write_json(folder, {"vocab": ids, "unk_token": "?"}, post_processor=processor)
    assert read(folder).settings == TokenizerSettings(unk_token="?", cls_token="<s>", sep_token="</s>")
    write(folder, "tokenizer_config.json", {"cls_token": "[PAD]"})
    assert 'the cls token is "[PAD]", but another file of the tokenizer says "<s>"' in refusal(folder)


def test_added_tokens(folder: Path) -> None:
    write(folder, "added_tokens.json", {"covid": 9, "[NEW]": 10})
    write(folder, "special_tokens_map.json", {"additional_special_tokens": ["[NEW]", "[E]"]})
    assert read(folder) == [*VOCABULARY, "[unused 8]", "covid", "[NEW]", "[E]"]
    added = {token.content: token.normalized for token in read(folder).settings.added_tokens}
    assert added == {"[NEW]": False, "[E]": False, "covid": True}
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": {"9": {"content": "covid", "special": True}}})
    assert AddedToken("covid", False) in read(folder).settings.added_tokens
    # A special token of BERT is no added token, unless it is looked for otherwise.
    decoder = {str(index): {"content": VOCABULARY[index], "special": True} for index in range(5)}
    decoder["4"] |= {"normalized": True}
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": decoder})
    (folder / "added_tokens.json").unlink()
    (folder / "special_tokens_map.json").unlink()
    assert read(folder).settings == TokenizerSettings(added_tokens=(AddedToken("[MASK]", True),))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, '"tokenizer_class" is "BertJapaneseTokenizer"'),
        ({"tokenizer_class": ["BertTokenizer"]}, '"tokenizer_class" is a list'),
        ({"do_basic_tokenize": False}, '"do_basic_tokenize" is false'),
        ({"word_tokenizer_type": "mecab"}, '"word_tokenizer_type" is "mecab"'),
        ({"never_split": ["covid"]}, '"never_split" names tokens'),
        ({"auto_map": {"AutoTokenizer": ["a.B", None]}}, '"auto_map" names a tokenizer with code'),
        ({"strip_accents": "no"}, '"strip_accents" is "no". Expected true or false'),
        ({"do_lower_case": 1}, '"do_lower_case" is 1'),
        ({"cls_token": {"content": "[CLS]", "lstrip": True}}, 'the token "[CLS]" has "lstrip": true'),
        ({"cls_token": 3}, "a token is 3"),
        ({"additional_special_tokens": "x"}, '"additional_special_tokens" is "x"'),
        ({"added_tokens_decoder": []}, ""),
        ({"added_tokens_decoder": {"x": {"content": "x"}}}, '"added_tokens_decoder" is no object from ids'),
        ({"added_tokens_decoder": {"1" * 5000: {"content": "x"}}}, '"added_tokens_decoder" is no object from ids'),
        ({"added_tokens_decoder": {"5": {"content": "covid"}}}, 'line 6 should be the added token "covid"'),
        ({"added_tokens_decoder": {"9": {"content": "cat"}}}, 'line 10 should be the added token "cat"'),
        ({"added_tokens_decoder": {"99999999": {"content": "covid"}}}, '"covid" has id 99999999'),
    ],
)
def test_what_the_config_may_not_say(folder: Path, config: dict[str, Any], expected: str) -> None:
    write(folder, "tokenizer_config.json", config)
    if not expected:
        assert read(folder) == VOCABULARY
        return
    text = refusal(folder)
    assert expected in text and str(folder) in text and len(text) < 600


@pytest.mark.parametrize(
    ("model", "parts", "expected"),
    [
        ({"type": "BPE"}, {}, '"model" is of type "BPE"'),
        ({"vocab": []}, {}, '"vocab" is a list'),
        ({"vocab": {"a": 0, "b": 0}}, {}, '"vocab" gives "b" and "a" the same id 0'),
        ({"vocab": {"a": 10**9}}, {}, '"vocab" gives "a" the id 1000000000'),
        ({"vocab": {"a": True}}, {}, '"vocab" gives "a" the id true'),
        ({"continuing_subword_prefix": "@"}, {}, '"continuing_subword_prefix" is "@"'),
        ({"max_input_chars_per_word": 200}, {}, '"max_input_chars_per_word" is 200'),
        ({"unk_token": 3}, {}, "a special token is 3"),
        ({}, {"normalizer": None}, '"normalizer" is not BertNormalizer'),
        ({}, {"normalizer": {"type": "NFC"}}, '"normalizer" is not BertNormalizer'),
        ({}, {"normalizer": {"type": "BertNormalizer", "clean_text": False}}, '"clean_text" is false'),
        ({}, {"normalizer": {"type": "BertNormalizer", "lowercase": 3}}, '"lowercase" is 3'),
        ({}, {"pre_tokenizer": {"type": "Whitespace"}}, '"pre_tokenizer" is not BertPreTokenizer'),
        ({}, {"post_processor": {"type": "RobertaProcessing"}}, '"post_processor" does not make'),
        ({}, {"post_processor": {"type": "TemplateProcessing", "single": [], "pair": []}}, "does not make"),
        ({}, {"added_tokens": {}}, '"added_tokens" is an object'),
        ({}, {"added_tokens": ["x"]}, '"added_tokens" holds "x"'),
        ({}, {"added_tokens": [{"content": "x"}]}, "has the id null"),
        ({}, {"added_tokens": [{"content": "x", "id": 8, "single_word": True}]}, 'has "single_word": true'),
    ],
)
def test_what_tokenizer_json_may_not_say(
    folder: Path, model: dict[str, Any], parts: dict[str, Any], expected: str
) -> None:
    write_json(folder, model, **parts)
    text = refusal(folder)
    assert expected in text and str(folder / "tokenizer.json") in text


def test_two_vocabularies_in_one_folder(folder: Path) -> None:
    write_json(folder)
    assert read(folder) == VOCABULARY
    write_json(folder, {"vocab": {**IDS, "dog": 8}})
    assert 'two different vocabularies (id 8, "dog")' in refusal(folder)
    given = folder / "given.txt"
    given.write_text("\n".join([*VOCABULARY, "the others"]))
    assert read_tokenizer(folder, given) == [*VOCABULARY, "the others"]


def test_class_named_in_the_config_of_the_model(folder: Path) -> None:
    write(folder, "config.json", {"tokenizer_class": "BertJapaneseTokenizer"})
    assert str(folder / "config.json") in refusal(folder)
    write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizerFast"})
    assert read(folder) == VOCABULARY
