"""BERT's WordPiece tokenizer, equal to Hugging Face's `BertTokenizer`, with the Rust library `tokenizers`.

Steps (Devlin et al., BERT, arXiv 1810.04805): clean the text, separate CJK characters, lower-case and strip accents
(uncased vocabularies), split at white space and punctuation, then match the longest token first, with "##" for
continuations.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.errors import UserError, shorten
from power_bert_runtime.tokenizer_settings import TokenizerSettings

# A longer word is a single [UNK].
MAX_CHARACTERS_PER_WORD = 100
# Texts per call of the Rust library: enough to keep all cores busy, but little memory.
_CHUNK_SIZE = 4096
_ADVICE = "use the vocab.txt of the checkpoint"


class WordPieces:
    """Encoder of texts as token ids of a BERT vocabulary.

    As in Hugging Face's tokenizer, a special token that is written in a text ("[MASK]") becomes that token.

    Args:
        tokens: Tokens in the order of their ids, all different.
        settings: Settings of the tokenizer.
        source: Name of the source, for messages.

    Raises:
        UserError: There are no tokens, or a special token is missing that every text needs.
    """

    def __init__(self, tokens: Sequence[str], settings: TokenizerSettings, source: str = "vocabulary") -> None:
        check_tokens(tokens, settings, source)
        self._ids = {token: index for index, token in enumerate(tokens)}
        self.settings = settings
        self.pad_id = self._ids[settings.pad_token]
        self.unknown_id = self._ids[settings.unk_token]
        self.cls_id = self._ids[settings.cls_token]
        self.sep_id = self._ids[settings.sep_token]
        self._tokenizer = _build(tokens, self._ids, settings)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens."""
        return len(self._ids)

    def encode(self, first: Sequence[str], second: Sequence[str] | None, max_length: int) -> EncodedTexts:
        """Encode single texts or pairs, with [CLS] and [SEP].

        Args:
            first: First (or only) texts, (examples,).
            second: Second texts, (examples,), or None.
            max_length: Largest number of tokens per example; longer examples are truncated at the end, pairs as in
                `truncate_pair`.

        Returns:
            The encoded examples, in their order.

        Raises:
            UserError: `max_length` has no room for one token of each text.
            ValueError: `first` and `second` differ in number.
        """
        smallest = 3 if second is None else 5
        if max_length < smallest:
            raise UserError(
                f"Maximum length {max_length}: expected at least {smallest}, which is one token a sentence with "
                "[CLS] and [SEP]. Give a larger maximum length."
            )
        if second is not None and len(second) != len(first):
            raise ValueError(f"{len(first)} first sentences but {len(second)} second ones")
        chunks = [slice(start, start + _CHUNK_SIZE) for start in range(0, len(first), _CHUNK_SIZE)]
        if second is None:
            parts = [self._encode_singles(first[chunk], max_length) for chunk in chunks]
        else:
            parts = [self._encode_pairs(first[chunk], second[chunk], max_length) for chunk in chunks]
        return EncodedTexts.concatenate(parts, self.pad_id)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without [CLS] and [SEP], not truncated."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _encode_singles(self, texts: Sequence[str], max_length: int) -> EncodedTexts:
        rows = [[self.cls_id, *ids[: max_length - 2], self.sep_id] for ids in self.token_ids(texts)]
        return EncodedTexts.from_rows(rows, [len(row) for row in rows], self.pad_id)

    def _encode_pairs(self, first: Sequence[str], second: Sequence[str], max_length: int) -> EncodedTexts:
        rows, first_lengths = [], []
        for left, right in zip(self.token_ids(first), self.token_ids(second), strict=True):
            num_left, num_right = truncate_pair(len(left), len(right), max_length - 3)
            rows.append([self.cls_id, *left[:num_left], self.sep_id, *right[:num_right], self.sep_id])
            first_lengths.append(num_left + 2)
        return EncodedTexts.from_rows(rows, first_lengths, self.pad_id)


def truncate_pair(num_first: int, num_second: int, budget: int) -> tuple[int, int]:
    """Return the lengths to which a pair is truncated: the longer text first, and both to half if both are too long.

    This is the rule "longest_first" of the Rust library. The extra token of an odd budget goes to the longer text, or
    to the second text if both are equally long.

    Args:
        num_first: Number of tokens of the first text.
        num_second: Number of tokens of the second text.
        budget: Largest number of tokens of both texts together.

    Returns:
        Kept tokens of the first and of the second text; their sum is `min(num_first + num_second, budget)`.
    """
    if num_first + num_second <= budget:
        return num_first, num_second
    shorter = min(num_first, num_second, budget // 2)
    longer = budget - shorter
    return (longer, shorter) if num_first > num_second else (shorter, longer)


def bert_normalizer(lowercase: bool) -> BertNormalizer:
    """Return BERT's text normalizer, which vocabularies are trained with too."""
    return _normalizer(TokenizerSettings(lowercase=lowercase))


def _normalizer(settings: TokenizerSettings) -> BertNormalizer:
    return BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.tokenize_chinese_chars,
        strip_accents=settings.strips_accents,
        lowercase=settings.lowercase,
    )


def check_tokens(tokens: Sequence[str], settings: TokenizerSettings, source: str) -> None:
    """Raise a `UserError` if there are no tokens, or a special token is missing that every text needs."""
    if not tokens:
        raise UserError(f"{source}: no tokens. Expected one token a line; {_ADVICE}.")
    if missing := sorted(set(settings.needed_tokens) - set(tokens)):
        raise UserError(
            f"{source}: special tokens are missing: {shorten(', '.join(missing))}. Expected a BERT vocabulary "
            f"with {shorten(', '.join(settings.needed_tokens))}; {_ADVICE}."
        )


def num_wordpiece_tokens(tokens: Sequence[str], settings: TokenizerSettings) -> int:
    """Return the number of ids before the added tokens at the end; special tokens always count as WordPiece tokens."""
    added = {token.content for token in settings.added_tokens} - set(settings.special_tokens)
    return next((index for index in range(len(tokens), 0, -1) if tokens[index - 1] not in added), 0)


def _build(tokens: Sequence[str], ids: dict[str, int], settings: TokenizerSettings) -> Tokenizer:
    pieces = tokens[: num_wordpiece_tokens(tokens, settings)]
    model = WordPiece(
        vocab={token: index for index, token in enumerate(pieces)},
        unk_token=settings.unk_token,
        continuing_subword_prefix="##",
        max_input_chars_per_word=MAX_CHARACTERS_PER_WORD,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _normalizer(settings)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    normalized = dict.fromkeys(settings.special_tokens, False)
    normalized |= {token.content: token.normalized for token in settings.added_tokens}
    # In the order of their ids, because Rust numbers added tokens from the end of the WordPiece tokens.
    added = sorted(normalized.keys() & ids.keys(), key=ids.__getitem__)
    tokenizer.add_special_tokens([AddedToken(token, normalized=normalized[token]) for token in added])
    return tokenizer
