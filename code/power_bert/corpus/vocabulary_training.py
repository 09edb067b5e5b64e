"""Training of a WordPiece vocabulary with the Rust library `tokenizers`.

The trainer merges the most frequent pair of tokens until the vocabulary is full (Sennrich et al. 2016). It works on the
words that BERT's normalizer and pre-tokenizer give, so memory grows with the number of distinct words, not with the
text.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.corpus.inputs import CorpusInput, list_inputs
from power_bert.corpus.manifest import stored_choice
from power_bert.corpus.vocabulary_file import VocabularyOrigin, write_vocabulary
from power_bert.errors import UserError
from power_bert.storage.locks import writes
from power_bert.text.tokenizer import SPECIAL_TOKENS
from power_bert_runtime.word_pieces import bert_normalizer

_CONTINUATION = "##"
# Rarer characters become [UNK], so that a corpus of all scripts cannot fill the vocabulary with them.
_MAX_CHARACTERS = 1000
# A pair that occurs once is probably a typing error.
_MIN_FREQUENCY = 2


@writes(lambda sources, path, *_, **__: path)
def train_vocabulary_file(
    sources: Sequence[str], path: Path, size: int, origin: VocabularyOrigin, on_document: Callable[[], None]
) -> list[str]:
    """Train a vocabulary on the training documents and writes it with its origin.

    Args:
        sources: Sources as in `list_inputs`, or one prepared corpus, whose own sources and split are then used.
        path: Path of the `vocab.txt` to write.
        size: Number of tokens, including special tokens.
        origin: Case and split; for a prepared corpus only the case is used.
        on_document: Callback for every training document that is read, in each of the two passes.

    Raises:
        UserError: A source cannot be read, there is no text, or the size is too small.
    """
    stored = stored_choice(Path(sources[0])) if len(sources) == 1 else None
    if stored is not None:
        sources, rules, split = stored
        origin = dataclasses.replace(origin, rules=rules, split=split)
    inputs = list_inputs(sources)

    def lines() -> Iterator[str]:
        for document in training_documents(inputs, origin.rules, origin.split):
            on_document()
            yield from document.split("\n")

    tokens = train_vocabulary(lines, size, origin.lowercase)
    write_vocabulary(path, tokens, origin)
    return tokens


def training_documents(inputs: Sequence[CorpusInput], rules: DocumentRules, split: DocumentSplit) -> Iterator[str]:
    """Yield the training documents of all inputs."""
    for corpus_input in inputs:
        for document in corpus_input.documents(rules):
            if split.side_of(document) == "train":
                yield document


def train_vocabulary(lines: Callable[[], Iterator[str]], size: int, lowercase: bool) -> list[str]:
    """Train a vocabulary; the result depends on the lines alone.

    Args:
        lines: Function that starts a pass over the lines; there are two passes.
        size: Number of tokens, including special tokens; there are fewer if the text does not yield as many.
        lowercase: Whether texts are lower-cased and accents stripped.

    Returns:
        [PAD], [UNK], [CLS], [SEP], [MASK], then characters, their continuations ("##a"), then merged tokens.

    Raises:
        UserError: There is no text, or `size` is too small for its characters.
    """
    alphabet = _alphabet(lines(), lowercase)
    if not alphabet:
        raise UserError("the training documents hold no text; give other files, or another --seed or --proportion")
    tokens = [*SPECIAL_TOKENS, *alphabet]
    if size <= len(tokens):
        raise UserError(
            f"--size {size}: the special tokens and the characters of the text alone are {len(tokens)} tokens. "
            "Give a larger size; usual are 8192 to 32768"
        )
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=_MIN_FREQUENCY,
        show_progress=False,
        # The trainer orders the characters that it finds itself differently from run to run, and breaks ties between
        # pairs by that order. Characters that are given as special tokens have a fixed order.
        special_tokens=tokens,
        limit_alphabet=0,
        continuing_subword_prefix=_CONTINUATION,
    )
    tokenizer = Tokenizer(WordPiece(vocab={}, unk_token="[UNK]"))
    tokenizer.normalizer = bert_normalizer(lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.train_from_iterator(lines(), trainer=trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=lambda token: ids[token])


def _alphabet(lines: Iterator[str], lowercase: bool) -> list[str]:
    """Return the characters of the text, sorted, followed by their continuations."""
    normalizer, pre_tokenizer = bert_normalizer(lowercase), BertPreTokenizer()
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(normalizer.normalize_str(line))
    frequent = sorted(counts, key=lambda character: (-counts[character], character))
    characters = sorted([character for character in frequent if not character.isspace()][:_MAX_CHARACTERS])

    def continues_a_word(character: str) -> bool:
        # Punctuation and CJK characters are always words of their own.
        return len(pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(f"a{character}"))) == 1

    return characters + [_CONTINUATION + character for character in characters if continues_a_word(character)]
