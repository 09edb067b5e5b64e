"""Tests of power_bert.text.tokenizer."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers.implementations import BertWordPieceTokenizer

from power_bert.errors import UserError
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary, read_vocabulary
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings
from power_bert_runtime.word_pieces import truncate_pair

REAL_VOCABULARY = Path(__file__).parents[3] / "shared" / "data" / "bert_uncased_vocab.txt"
PIECES = (
    "un",
    "##aff",
    "##able",
    "naive",
    "the",
    "cat",
    "##s",
    "中",
    "国",
    "!",
    "'",
    "a",
    "A",
    "Été",
    "##b",
    "$",
    "Cat",
)
# Not in the order of any published vocabulary, so that no id is right by chance.
VOCABULARY = ["[UNK]", "[PAD]", *PIECES, "[SEP]", "[CLS]", "[MASK]"]


@pytest.fixture(scope="module")
def uncased() -> WordPieceTokenizer:
    return WordPieceTokenizer(VOCABULARY, lowercase=True)


@pytest.fixture(scope="module")
def cased() -> WordPieceTokenizer:
    return WordPieceTokenizer(VOCABULARY, lowercase=False)


def tokens(tokenizer: WordPieceTokenizer, text: str, max_length: int = 32) -> list[str]:
    (ids,) = tokenizer.encode([text], None, max_length).token_ids
    return [tokenizer.vocabulary[index] for index in ids]


def inner(tokenizer: WordPieceTokenizer, text: str) -> list[str]:
    first, *rest, last = tokens(tokenizer, text, 300)
    assert (first, last) == ("[CLS]", "[SEP]")
    return rest


class TestWordPieces:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            (" \t\n\r ", []),
            ("unaffable", ["un", "##aff", "##able"]),
            ("UnAffable Cats", ["un", "##aff", "##able", "cat", "##s"]),
            ("naïve", ["naive"]),  # one code point
            ("nai\u0308ve", ["naive"]),  # with a combining mark
            ("the cat's!", ["the", "cat", "'", "[UNK]", "!"]),  # "s" is a continuation only
            ("中国", ["中", "国"]),
            ("the中cats", ["the", "中", "cat", "##s"]),
            ("unx cat", ["[UNK]", "cat"]),  # one bad piece makes the whole word unknown
            ("$!", ["$", "!"]),
            ("th\u0000e\ufffd c\u200bat", ["the", "cat"]),  # control and format characters vanish
            ("the\u00a0cat\u2028the", ["the", "cat", "the"]),
            ("the [MASK] cat[SEP]", ["the", "[MASK]", "cat", "[SEP]"]),
            ("[mask]", ["[UNK]"] * 3),
        ],
    )
    def test_uncased(self, uncased: WordPieceTokenizer, text: str, expected: list[str]) -> None:
        assert inner(uncased, text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("Cats cats", ["Cat", "##s", "cat", "##s"]), ("naïve", ["[UNK]"]), ("Été", ["Été"]), ("A a", ["A", "a"])],
    )
    def test_cased(self, cased: WordPieceTokenizer, text: str, expected: list[str]) -> None:
        assert inner(cased, text) == expected

    def test_word_of_more_than_100_characters_is_unknown(self, uncased: WordPieceTokenizer) -> None:
        assert inner(uncased, "a" + "b" * 99) == ["a"] + ["##b"] * 99
        assert inner(uncased, "a" + "b" * 100) == ["[UNK]"]


class TestEncode:
    def test_single(self, uncased: WordPieceTokenizer) -> None:
        encoded = uncased.encode(["the cats", ""], None, max_length=4)
        # [CLS] the cat | ##s is cut | [SEP]
        assert [ids.tolist() for ids in encoded.token_ids] == [[20, 6, 7, 19], [20, 19]]
        assert [ids.tolist() for ids in encoded.segment_ids] == [[0, 0, 0, 0], [0, 0]]
        assert encoded.lengths.tolist() == [4, 2]
        assert encoded.lengths.dtype == np.int64
        assert {array.dtype for array in (*encoded.token_ids, *encoded.segment_ids)} == {np.dtype(np.int32)}
        assert encoded.pad_id == 1
        assert len(encoded) == 2

    def test_pair(self, uncased: WordPieceTokenizer) -> None:
        encoded = uncased.encode(["the cats", "the"], ["中!", ""], max_length=9)
        assert [ids.tolist() for ids in encoded.token_ids] == [[20, 6, 7, 8, 19, 9, 11, 19], [20, 6, 19, 19]]
        assert [ids.tolist() for ids in encoded.segment_ids] == [[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1]]

    def test_pair_is_cut_at_the_longer_one(self, uncased: WordPieceTokenizer) -> None:
        encoded = uncased.encode(["the the the the"], ["cat"], max_length=6)
        assert encoded.token_ids[0].tolist() == [20, 6, 6, 19, 7, 19]
        assert encoded.segment_ids[0].tolist() == [0, 0, 0, 0, 1, 1]

    def test_many_chunks_keep_the_order(self, uncased: WordPieceTokenizer) -> None:
        texts = ["the " * (number % 7) + "cat" for number in range(9001)]
        for second in (None, texts[::-1]):
            encoded = uncased.encode(texts, second, max_length=20)
            assert len(encoded) == 9001
            for row in (0, 4095, 4096, 8999, 9000):
                alone = uncased.encode([texts[row]], None if second is None else [second[row]], max_length=20)
                np.testing.assert_array_equal(encoded.token_ids[row], alone.token_ids[0])

    def test_no_examples(self, uncased: WordPieceTokenizer) -> None:
        encoded = uncased.encode([], None, max_length=8)
        assert len(encoded) == 0
        assert encoded.lengths.shape == (0,)

    @pytest.mark.parametrize(("second", "smallest"), [(None, 3), (["cat cat"], 5)])
    def test_smallest_length(self, uncased: WordPieceTokenizer, second: list[str] | None, smallest: int) -> None:
        assert uncased.encode(["the the"], second, smallest).lengths.tolist() == [smallest]
        with pytest.raises(UserError, match=f"Maximum length {smallest - 1}: expected at least {smallest}"):
            uncased.encode(["the the"], second, smallest - 1)

    def test_different_numbers_of_texts(self, uncased: WordPieceTokenizer) -> None:
        with pytest.raises(ValueError, match="2 first sentences but 1 second"):
            uncased.encode(["a", "b"], ["a"], 8)


class TestTruncatePair:
    @pytest.mark.parametrize(
        ("lengths", "budget", "expected"),
        [
            ((3, 4), 7, (3, 4)),
            ((9, 2), 7, (5, 2)),
            ((2, 9), 7, (2, 5)),
            ((9, 8), 7, (4, 3)),
            ((8, 9), 7, (3, 4)),
            ((9, 9), 7, (3, 4)),
            ((0, 9), 7, (0, 7)),
            ((9, 9), 2, (1, 1)),
        ],
    )
    def test_values(self, lengths: tuple[int, int], budget: int, expected: tuple[int, int]) -> None:
        assert truncate_pair(*lengths, budget) == expected

    def test_equals_the_reference(self, uncased: WordPieceTokenizer) -> None:
        reference = BertWordPieceTokenizer(dict(zip(VOCABULARY, range(len(VOCABULARY)), strict=True)))
        for max_length in range(5, 12):
            reference.enable_truncation(max_length, strategy="longest_first")
            for num_first in range(10):
                for num_second in range(10):
                    pair = ("the " * num_first, "cat " * num_second)
                    expected = reference.encode(*pair)
                    encoded = uncased.encode([pair[0]], [pair[1]], max_length)
                    assert encoded.token_ids[0].tolist() == expected.ids
                    assert encoded.segment_ids[0].tolist() == expected.type_ids


class TestVocabulary:
    def test_special_ids_and_properties(self, uncased: WordPieceTokenizer) -> None:
        ids = (uncased.unknown_id, uncased.pad_id, uncased.sep_id, uncased.cls_id, uncased.mask_id)
        assert ids == (0, 1, 19, 20, 21)
        assert uncased.vocabulary == VOCABULARY
        assert uncased.vocabulary_size == 22
        assert uncased.lowercase

    def test_save_and_read(self, tmp_path: Path) -> None:
        vocabulary = [*VOCABULARY, "\u2028", "\x85"]
        path = tmp_path / "new" / "vocab.txt"
        WordPieceTokenizer(vocabulary, lowercase=True).save(path)
        assert path.read_bytes() == ("\n".join(vocabulary) + "\n").encode()
        assert [entry.name for entry in path.parent.iterdir()] == ["vocab.txt"]
        for source in (path, str(path)):
            assert WordPieceTokenizer(source, lowercase=True).vocabulary == vocabulary

    def test_windows_line_ends_and_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "vocab.txt"
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(VOCABULARY).encode())
        assert WordPieceTokenizer(path, lowercase=False).vocabulary == VOCABULARY

    @pytest.mark.parametrize("missing", TokenizerSettings().needed_tokens)
    def test_missing_special_token(self, missing: str) -> None:
        vocabulary = [token for token in VOCABULARY if token != missing]
        with pytest.raises(UserError, match=rf"special tokens are missing: \{missing[:-1]}\]\. Expected.*vocab\.txt"):
            WordPieceTokenizer(vocabulary, lowercase=True)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "vocab.txt: the file is empty"),
            (b"[PAD]\na\n[UNK]\n", r"vocab\.txt: special tokens are missing: \[CLS\], \[SEP\]\. Expected"),
            (b"[PAD]\ncaf\xe9\n", r"vocab\.txt, line 2: byte 0xe9 is not UTF-8"),
        ],
    )
    def test_bad_file(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "vocab.txt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            WordPieceTokenizer(path, lowercase=True)

    def test_a_vocabulary_without_a_mask_only_cannot_mask(self) -> None:
        tokenizer = WordPieceTokenizer(Vocabulary(VOCABULARY[:-1], source="some/vocab.txt"))
        assert tokenizer.special_ids == [0, 1, 19, 20]
        assert inner(tokenizer, "the [MASK]") == ["the", "[UNK]", "[UNK]", "[UNK]"]
        with pytest.raises(UserError, match=r"some/vocab\.txt: no token \[MASK\]"):
            tokenizer.mask_id  # noqa: B018

    def test_the_last_of_equal_lines_counts_and_an_empty_one_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(["the", "", *VOCABULARY, "", "un", "cat"]))
        vocabulary = read_vocabulary(path)
        tokenizer = WordPieceTokenizer(vocabulary)
        assert tokenizer.vocabulary_size == len(VOCABULARY) + 5
        assert tokenizer.token_ids(["the unaffable cats"]) == [[8, 25, 5, 6, 26, 10]]
        assert [note.removeprefix(f"{path}, ") for note in vocabulary.notes] == [
            "line 9: token 'the' is on line 1 already, and 2 more such lines; the last line of a token counts, as in "
            "Hugging Face's loader",
            "line 2: empty, and 1 more such lines; an id that nothing uses, as in Hugging Face's loader",
        ]

    def test_missing_file_and_empty_list(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"vocab\.txt: cannot be read"):
            WordPieceTokenizer(tmp_path / "vocab.txt", lowercase=True)
        with pytest.raises(UserError, match="no tokens"):
            WordPieceTokenizer([], lowercase=True)


class TestSettings:
    """Strip accents, CJK, other special tokens and added tokens; all combinations are compared in test_parity.py."""

    def test_accents_and_ideographs(self) -> None:
        words = [*VOCABULARY[:-3], "naïve", "中国", *VOCABULARY[-3:]]
        settings = TokenizerSettings(strip_accents=False, tokenize_chinese_chars=False)
        tokenizer = WordPieceTokenizer(Vocabulary(words, settings))
        assert inner(tokenizer, "NAÏVE naive 中国") == ["naïve", "naive", "中国"]
        assert inner(WordPieceTokenizer(words), "NAÏVE naive 中国") == ["naive", "naive", "中", "国"]

    def test_the_given_case_beats_that_of_the_settings_and_decides_on_accents(self) -> None:
        tokenizer = WordPieceTokenizer(Vocabulary(VOCABULARY, TokenizerSettings(lowercase=False)), lowercase=True)
        assert tokenizer.lowercase and inner(tokenizer, "NAÏVE") == ["naive"]
        assert tokenizer.vocabulary.settings == tokenizer.settings == TokenizerSettings()

    def test_special_tokens_of_other_names(self) -> None:
        words = ["<pad>", "<s>", "</s>", "?", "the", "<mask>"]
        names = {
            "pad_token": "<pad>",
            "unk_token": "?",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "mask_token": "<mask>",
        }
        tokenizer = WordPieceTokenizer(Vocabulary(words, TokenizerSettings(**names)))
        assert tokenizer.encode(["the cat <mask>"], None, 9).token_ids[0].tolist() == [1, 4, 3, 5, 2]
        assert (tokenizer.pad_id, tokenizer.mask_id, tokenizer.special_ids) == (0, 5, [0, 1, 2, 3, 5])
        with pytest.raises(UserError, match=r"special tokens are missing: <pad>"):
            WordPieceTokenizer(Vocabulary(VOCABULARY, TokenizerSettings(pad_token="<pad>")))

    def test_added_tokens_are_found_anywhere_and_are_no_pieces(self) -> None:
        added = (AddedToken("[E1]"), AddedToken("Aff", normalized=True), AddedToken("un"), AddedToken("[E10]"))
        words = [*VOCABULARY, "", "[E1]", "Aff", "[E10]"]
        tokenizer = WordPieceTokenizer(Vocabulary(words, TokenizerSettings(added_tokens=added)))
        assert inner(tokenizer, "[E1]the[E10] xaffable") == ["[E1]", "the", "[E10]", "[UNK]", "Aff", "[UNK]"]
        # "un" is a piece too, since it stands among the pieces.
        assert inner(tokenizer, "UNAFF uncat [e1]") == ["un", "Aff", "un", "cat", "[UNK]", "[UNK]", "[UNK]"]

    def test_as_json(self) -> None:
        settings = TokenizerSettings(False, (AddedToken("[E1]"), AddedToken("x", True)), True, False, sep_token="</s>")
        assert TokenizerSettings.from_json(settings.to_json(), "here") == settings
        assert list(settings.unusual) == ["added_tokens", "strip_accents", "tokenize_chinese_chars", "sep_token"]
        assert TokenizerSettings.from_json({"lowercase": False, **settings.unusual}, "here") == settings
        assert TokenizerSettings(True).unusual == TokenizerSettings(False).unusual == {}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"lowercase": "yes"},
            {"lowercase": None},
            {"pad_token": True},
            {"strip_accents": 1},
            {"added_tokens": "[E1]"},
            {"added_tokens": ["[E1]"]},
            {"added_tokens": [{"content": "[E1]", "normalized": None}]},
            {"unknown": 1},
            {"cls_token": ["[CLS]"]},
        ],
    )
    def test_wrong_json(self, wrong: dict[str, object]) -> None:
        with pytest.raises(UserError, match=f"^here: .*{next(iter(wrong))}"):
            TokenizerSettings.from_json(wrong, "here")

    def test_reads_as(self, uncased: WordPieceTokenizer, cased: WordPieceTokenizer) -> None:
        explicit = Vocabulary(VOCABULARY, TokenizerSettings(strip_accents=True))
        assert uncased.reads_as(WordPieceTokenizer(explicit))
        assert not uncased.reads_as(cased) and not uncased.reads_as(WordPieceTokenizer([*VOCABULARY, "more"]))


@pytest.fixture(scope="module")
def real() -> WordPieceTokenizer:
    return WordPieceTokenizer(REAL_VOCABULARY, lowercase=True)


@pytest.mark.skipif(not REAL_VOCABULARY.is_file(), reason="needs ../shared/data/bert_uncased_vocab.txt")
class TestRealVocabulary:
    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("Hello, world!", [101, 7592, 1010, 2088, 999, 102]),
            ("naïve café", [101, 15743, 7668, 102]),
            ("The quick brown fox jumps over the lazy dog.", [101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971,
                                                             3899, 1012, 102]),
        ],
    )  # fmt: skip
    def test_published_ids(self, real: WordPieceTokenizer, text: str, ids: list[int]) -> None:
        assert real.encode([text], None, 64).token_ids[0].tolist() == ids

    def test_equals_the_reference(self, real: WordPieceTokenizer) -> None:
        reference = BertWordPieceTokenizer(str(REAL_VOCABULARY), lowercase=True)
        reference.enable_truncation(24, strategy="longest_first")
        texts = [
            "Tokenization of unaffable anti-disestablishmentarianism, isn't it?",
            "ÀÉÎÕÜ straße İstanbul ﬁne ＡＢＣ Ǆ",
            "日本語とhangul 한국어 and ไทย",
            "e-mail: a.b@c.de #tag $5.00 50% (x) [CLS] [mask] ~`^",
            "🙂👨‍👩‍👧 \u200f\u202e\ufeff\u00ad zero\u200bwidth",
            "x" * 101 + " y" * 50,
            "",
        ]
        pairs = [(first, second) for first in texts for second in texts]
        encoded = real.encode([first for first, _ in pairs], [second for _, second in pairs], 24)
        for row, expected in enumerate(reference.encode_batch(pairs)):
            assert encoded.token_ids[row].tolist() == expected.ids
            assert encoded.segment_ids[row].tolist() == expected.type_ids
