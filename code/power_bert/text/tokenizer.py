"""BERT's WordPiece tokenizer, as Hugging Face's `BertTokenizer` has it, on the Rust library `tokenizers`.

Devlin et al., BERT (arXiv 1810.04805): clean the text, set CJK characters apart, lower-case and strip accents (uncased
vocabularies), split at white space and punctuation, then longest match first with "##" for continuations.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from power_bert.errors import UserError
from power_bert.files import atomic_write_text, read_lines
from power_bert.text.encoded_texts import EncodedTexts

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# A longer word is [UNK] as a whole.
MAX_CHARACTERS_PER_WORD = 100
# Texts handed to Rust at once: enough to keep all cores busy, few enough to hold little memory.
_CHUNK_SIZE = 4096


class WordPieceTokenizer:
    """Turns texts into the token ids of a BERT vocabulary.

    As in Hugging Face's tokenizer, a special token written out in a text ("[MASK]") becomes that token.

    Args:
        vocabulary: The tokens in the order of their ids, or the path of a `vocab.txt` with one token a line.
        lowercase: Whether the vocabulary is uncased: texts are lower-cased and accents stripped.

    Raises:
        UserError: The file cannot be read, is empty or not UTF-8, a token is empty or there twice, or a special token
            is missing.
    """

    def __init__(self, vocabulary: Sequence[str] | str | os.PathLike[str], lowercase: bool) -> None:
        if isinstance(vocabulary, str | os.PathLike):
            source, tokens = str(vocabulary), read_lines(Path(vocabulary))
        else:
            source, tokens = "vocabulary", list(vocabulary)
        ids = _number_tokens(source, tokens)
        self.vocabulary: list[str] = tokens
        self.lowercase = lowercase
        self.pad_id = ids["[PAD]"]
        self.unknown_id = ids["[UNK]"]
        self.cls_id = ids["[CLS]"]
        self.sep_id = ids["[SEP]"]
        self.mask_id = ids["[MASK]"]
        self._tokenizer = _build(ids, lowercase)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens."""
        return len(self.vocabulary)

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


def is_lowercase(vocabulary: Sequence[str]) -> bool:
    """Guesses from a vocabulary whether it is uncased: no capital letter outside tokens such as [CLS]."""
    return all(token == token.lower() for token in vocabulary if not (token.startswith("[") and token.endswith("]")))


def bert_normalizer(lowercase: bool) -> BertNormalizer:
    """BERT's cleaning of a text; also what vocabularies are trained on."""
    return BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=lowercase, lowercase=lowercase)


def _number_tokens(source: str, tokens: list[str]) -> dict[str, int]:
    """Maps each token to its id (its line less one); checks the vocabulary."""
    if not tokens:
        raise UserError(f"{source}: no tokens. Expected one token a line; use the vocab.txt of the checkpoint.")
    ids: dict[str, int] = {}
    for index, token in enumerate(tokens):
        if not token:
            raise UserError(
                f"{source}, line {index + 1}: empty. Expected one token a line; use the vocab.txt of the checkpoint."
            )
        if token in ids:
            raise UserError(
                f"{source}, line {index + 1}: token {token!r} is already on line {ids[token] + 1}. "
                "Expected each token once; use the vocab.txt of the checkpoint."
            )
        ids[token] = index
    missing = [token for token in SPECIAL_TOKENS if token not in ids]
    if missing:
        raise UserError(
            f"{source}: special tokens are missing: {', '.join(missing)}. Expected a BERT vocabulary with "
            f"{', '.join(SPECIAL_TOKENS)}; use the vocab.txt of the checkpoint."
        )
    return ids


def _build(ids: dict[str, int], lowercase: bool) -> Tokenizer:
    model = WordPiece(
        vocab=ids,
        unk_token="[UNK]",
        continuing_subword_prefix="##",
        max_input_chars_per_word=MAX_CHARACTERS_PER_WORD,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = bert_normalizer(lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer
