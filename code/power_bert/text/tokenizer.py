"""BERT's WordPiece tokenizer, as Hugging Face's `BertTokenizer` has it, on the Rust library `tokenizers`.

Devlin et al., BERT (arXiv 1810.04805): clean the text, set CJK characters apart, lower-case and strip accents (uncased
vocabularies), split at white space and punctuation, then longest match first with "##" for continuations.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.tokenizer_settings import TokenizerSettings
from power_bert.text.wordpiece_vocabulary import Vocabulary

# Of a vocabulary that this project makes.
SPECIAL_TOKENS = TokenizerSettings().special_tokens
# A longer word is [UNK] as a whole.
MAX_CHARACTERS_PER_WORD = 100
# Texts handed to Rust at once: enough to keep all cores busy, few enough to hold little memory.
_CHUNK_SIZE = 4096


class WordPieceTokenizer:
    """Turns texts into the token ids of a BERT vocabulary.

    As in Hugging Face's tokenizer, a special token written out in a text ("[MASK]") becomes that token.

    Args:
        vocabulary: The tokens in the order of their ids, or the path of a `vocab.txt` with one token a line. A
            `Vocabulary` brings its own settings.
        lowercase: Whether the vocabulary is uncased: texts are lower-cased and, unless the settings say otherwise,
            accents stripped; None takes what the settings of the vocabulary say.

    Raises:
        UserError: The file cannot be read, is empty or not UTF-8, or a special token is missing.
    """

    def __init__(self, vocabulary: Sequence[str] | str | os.PathLike[str], lowercase: bool | None = None) -> None:
        tokens = Vocabulary.of(vocabulary)
        if lowercase is not None:
            tokens = tokens.with_settings(dataclasses.replace(tokens.settings, lowercase=lowercase))
        tokens.check()
        ids, settings = tokens.ids, tokens.settings
        self.vocabulary = tokens
        self.settings = settings
        self.pad_id = ids[settings.pad_token]
        self.unknown_id = ids[settings.unk_token]
        self.cls_id = ids[settings.cls_token]
        self.sep_id = ids[settings.sep_token]
        self._mask_id = ids.get(settings.mask_token)
        self._tokenizer = _build(tokens)

    @property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased."""
        return self.settings.lowercase

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens."""
        return len(self.vocabulary)

    @property
    def mask_id(self) -> int:
        """The id of the mask; a UserError where the vocabulary has none."""
        if self._mask_id is None:
            raise UserError(
                f"{self.vocabulary.source}: no token {self.settings.mask_token}, which masking needs. Give a "
                "vocabulary that has it."
            )
        return self._mask_id

    @property
    def special_ids(self) -> list[int]:
        """The ids of the special tokens, ascending."""
        found = {self.pad_id, self.unknown_id, self.cls_id, self.sep_id, self._mask_id}
        return sorted(index for index in found if index is not None)

    def reads_as(self, other: WordPieceTokenizer) -> bool:
        """Whether the other one gives the same ids for every text."""
        settings, others = (
            dataclasses.replace(each.settings, strip_accents=each.settings.strips_accents) for each in (self, other)
        )
        return self.vocabulary == other.vocabulary and settings == others

    def encode(self, first: Sequence[str], second: Sequence[str] | None, max_length: int) -> EncodedTexts:
        """Encodes sentences or pairs, with [CLS] and [SEP].

        Args:
            first: First (or only) sentences, (examples,).
            second: Second sentences, (examples,), or None.
            max_length: Tokens of an example at most; what is over is cut from the end, for pairs as in
                `truncate_pair`.

        Raises:
            UserError: `max_length` has no room for one token of each sentence.
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

    def piece_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Word piece ids of each text, without [CLS] and [SEP], not truncated."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the vocabulary, one token a line (`vocab.txt`), atomically."""
        atomic_write_text(Path(path), "\n".join(self.vocabulary) + "\n")

    def _encode_singles(self, texts: Sequence[str], max_length: int) -> EncodedTexts:
        rows = [[self.cls_id, *pieces[: max_length - 2], self.sep_id] for pieces in self.piece_ids(texts)]
        return EncodedTexts.from_rows(rows, [len(row) for row in rows], self.pad_id)

    def _encode_pairs(self, first: Sequence[str], second: Sequence[str], max_length: int) -> EncodedTexts:
        rows, first_lengths = [], []
        for left, right in zip(self.piece_ids(first), self.piece_ids(second), strict=True):
            num_left, num_right = truncate_pair(len(left), len(right), max_length - 3)
            rows.append([self.cls_id, *left[:num_left], self.sep_id, *right[:num_right], self.sep_id])
            first_lengths.append(num_left + 2)
        return EncodedTexts.from_rows(rows, first_lengths, self.pad_id)


def truncate_pair(num_first: int, num_second: int, budget: int) -> tuple[int, int]:
    """Lengths to which a pair is cut: the longer one first, and both to half where both are too long.

    The same rule as "longest_first" of the Rust library: of an odd budget the longer one gets the one token more, and
    the second one where both are equally long.

    Args:
        num_first: Tokens of the first text.
        num_second: Tokens of the second text.
        budget: Tokens that both may have together.

    Returns:
        The kept tokens of the first and of the second text; their sum is `min(num_first + num_second, budget)`.
    """
    if num_first + num_second <= budget:
        return num_first, num_second
    shorter = min(num_first, num_second, budget // 2)
    longer = budget - shorter
    return (longer, shorter) if num_first > num_second else (shorter, longer)


def bert_normalizer(lowercase: bool) -> BertNormalizer:
    """BERT's cleaning of a text; also what vocabularies are trained on."""
    return _normalizer(TokenizerSettings(lowercase=lowercase))


def _normalizer(settings: TokenizerSettings) -> BertNormalizer:
    return BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.tokenize_chinese_chars,
        strip_accents=settings.strips_accents,
        lowercase=settings.lowercase,
    )


def _build(vocabulary: Vocabulary) -> Tokenizer:
    ids, settings = vocabulary.ids, vocabulary.settings
    model = WordPiece(
        vocab={token: index for index, token in enumerate(vocabulary[: vocabulary.num_word_pieces])},
        unk_token=settings.unk_token,
        continuing_subword_prefix="##",
        max_input_chars_per_word=MAX_CHARACTERS_PER_WORD,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _normalizer(settings)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    normalized = dict.fromkeys(settings.special_tokens, False)
    normalized |= {token.content: token.normalized for token in settings.added_tokens}
    # In the order of their ids: Rust numbers those that are no word pieces from the end of the word pieces.
    added = sorted(normalized.keys() & ids.keys(), key=ids.__getitem__)
    tokenizer.add_special_tokens([AddedToken(token, normalized=normalized[token]) for token in added])
    return tokenizer
