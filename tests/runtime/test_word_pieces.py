"""WordPiece of the runtime: properties of truncation and encoding, and what counts as a piece."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutation_settings
from power_bert_runtime.errors import UserError
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings
from power_bert_runtime.word_pieces import (
    MAX_CHARACTERS_PER_WORD,
    WordPieces,
    bert_normalizer,
    check_tokens,
    num_wordpiece_tokens,
    truncate_pair,
)

TOKENS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "ab", "##a", "##b", "é", "!"]
PIECES = WordPieces(TOKENS, TokenizerSettings())
PAD, CLS, SEP = 1, 2, 3
TEXT = st.text("aAbé! \n[\u4e2d", max_size=30)


@mutation_settings
@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 60))
def test_a_truncated_pair_uses_its_room_and_is_fair(first: int, second: int, budget: int) -> None:
    kept_first, kept_second = truncate_pair(first, second, budget)
    assert kept_first + kept_second == min(first + second, budget)
    assert 0 <= kept_first <= first and 0 <= kept_second <= second
    # A text is only cut while it is not the shorter one; an odd token is left.
    if kept_first < first:
        assert kept_first >= kept_second - 1
    if kept_second < second:
        assert kept_second >= kept_first - 1


@mutation_settings
@given(st.lists(TEXT, max_size=6), st.integers(3, 12))
def test_single_texts_are_a_prefix_of_their_tokens_in_brackets(texts: list[str], max_length: int) -> None:
    encoded = PIECES.encode(texts, None, max_length)
    assert len(encoded) == len(texts) and encoded.pad_id == PAD
    for ids, segments, whole in zip(encoded.token_ids, encoded.segment_ids, PIECES.token_ids(texts), strict=True):
        assert ids.tolist() == [CLS, *whole[: max_length - 2], SEP]
        assert not segments.any()


@mutation_settings
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.integers(5, 14))
def test_pairs_have_two_segments_of_the_truncated_lengths(pairs: list[tuple[str, str]], max_length: int) -> None:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    encoded = PIECES.encode(first, second, max_length)
    whole = zip(PIECES.token_ids(first), PIECES.token_ids(second), strict=True)
    for ids, segments, (left, right) in zip(encoded.token_ids, encoded.segment_ids, whole, strict=True):
        num_left, num_right = truncate_pair(len(left), len(right), max_length - 3)
        assert ids.tolist() == [CLS, *left[:num_left], SEP, *right[:num_right], SEP]
        assert segments.tolist() == [0] * (num_left + 2) + [1] * (num_right + 1)
        assert len(ids) <= max_length


@mutation_settings
@given(TEXT, TEXT)
def test_texts_are_encoded_alone_as_together(one: str, other: str) -> None:
    assert PIECES.token_ids([one, other]) == PIECES.token_ids([one]) + PIECES.token_ids([other])
    # A space parts words, so the tokens of both are those of each.
    assert PIECES.token_ids([f"{one} {other}"]) == [PIECES.token_ids([one])[0] + PIECES.token_ids([other])[0]]


def test_the_longest_piece_is_taken_first() -> None:
    named = [[TOKENS[index] for index in ids] for ids in PIECES.token_ids(["abab", "aab", "ba", "abc", "ab!a"])]
    assert named == [["ab", "##a", "##b"], ["a", "##a", "##b"], ["b", "##a"], ["[UNK]"], ["ab", "!", "a"]]


def test_the_length_of_a_word_is_counted_after_normalization() -> None:
    limit = "a" * MAX_CHARACTERS_PER_WORD
    assert len(PIECES.token_ids([limit])[0]) == MAX_CHARACTERS_PER_WORD
    assert PIECES.token_ids([limit + "a"]) == [[0]]
    assert len(PIECES.token_ids([limit + "\u0301"])[0]) == MAX_CHARACTERS_PER_WORD  # the accent is stripped


def test_no_texts_and_no_room() -> None:
    assert len(PIECES.encode([], [], 5)) == 0
    for second, smallest in ((None, 3), ([], 5)):
        with pytest.raises(UserError, match=rf"^Maximum length {smallest - 1}: expected at least {smallest}, which is"):
            PIECES.encode([], second, smallest - 1)


@pytest.mark.parametrize(("lowercase", "expected"), [(True, "cafe \u4e2d  x"), (False, "Café \u4e2d  X")])
def test_the_normalizer_of_vocabularies(lowercase: bool, expected: str) -> None:
    text = bert_normalizer(lowercase).normalize_str("Café\u4e2d\x00X")
    assert text.split() == expected.split()


@pytest.mark.parametrize(
    ("added", "tokens", "expected"),
    [
        ([], ["[PAD]", "a"], 2),
        ([], [], 0),
        (["x", "y"], ["[PAD]", "a", "x", "y"], 2),
        (["x"], ["[PAD]", "x", "a"], 3),  # among the pieces it is one
        (["x", "y"], ["x", "a", "y", "x"], 2),
        (["[MASK]", "x"], ["a", "[MASK]", "x"], 2),  # a special token is a piece
        (["x"], ["x", "x"], 0),
    ],
)
def test_added_tokens_at_the_end_are_no_pieces(added: list[str], tokens: list[str], expected: int) -> None:
    settings = TokenizerSettings(added_tokens=tuple(map(AddedToken, added)))
    assert num_wordpiece_tokens(tokens, settings) == expected


def test_missing_tokens_are_all_named() -> None:
    settings = TokenizerSettings(pad_token="<pad>")
    check_tokens(["<pad>", *TOKENS], settings, "there")
    with pytest.raises(UserError) as raised:
        check_tokens(["[UNK]", "a"], settings, "there")
    assert str(raised.value) == (
        "there: special tokens are missing: <pad>, [CLS], [SEP]. Expected a BERT vocabulary with <pad>, [UNK], [CLS], "
        "[SEP]; use the vocab.txt of the checkpoint."
    )
    with pytest.raises(UserError, match=r"^there: no tokens\. Expected one token a line; use the vocab\.txt"):
        check_tokens([], settings, "there")


def test_settings_of_added_tokens() -> None:
    settings = TokenizerSettings(added_tokens=(AddedToken("New York"), AddedToken("CAFÉ", normalized=True)))
    pieces = WordPieces([*TOKENS, "New York", "CAFÉ"], settings)
    assert pieces.token_ids(["a New York", "a new york", "cafe b", "CAFÉ"]) == [[5, 12], [5, 0, 0], [13, 6], [13]]
