"""Commands that turn raw text into pre-training data: a vocabulary and a prepared corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from power_bert.commands.shared_options import BeamOption, Runner, Wait

Sources = Annotated[
    list[str], typer.Argument(help="Text files (plain or gzip), folders with .txt or .txt.gz files, tfds:NAME.")
]
TestShare = Annotated[float, typer.Option(help="Fraction of the documents that is held out for testing.")]
Proportion = Annotated[float, typer.Option(help="Fraction of all documents that is used.")]
Seed = Annotated[int, typer.Option(help="Seed of the choice of documents and of the test split.")]
Separator = Annotated[
    str,
    typer.Option(
        help="End of a document: an empty line (empty-line), every line (line) or the end of the file (file)."
    ),
]
MaxCharacters = Annotated[
    int,
    typer.Option(help="Largest document, in characters; longer ones are split at a line end into several documents."),
]


def train_vocab(
    sources: Sources,
    size: Annotated[int, typer.Option(help="Number of tokens, including special tokens.")] = 8192,
    out: Annotated[
        Path, typer.Option(help="File to write; its training settings are written beside it as .json.")
    ] = Path("vocab.txt"),
    cased: Annotated[bool, typer.Option("--cased/--uncased", help="Keep capitals and accents.")] = False,
    test_share: TestShare = 0.01,
    proportion: Proportion = 1.0,
    seed: Seed = 0,
    document_separator: Separator = "empty-line",
    max_document_characters: MaxCharacters = 1_000_000,
    wait: Wait = False,
) -> None:
    """Train a WordPiece vocabulary on the training documents of text files; test documents are never used.

    Give prepare-corpus the same --seed, --test-share and document options, so that it holds out the same test
    documents. A prepared corpus can be given in place of text: its sources are then read with its own split.

    Examples:

        bash run.sh train-vocab books.txt.gz --size 8192 --out vocab.txt

        bash run.sh train-vocab texts/ more.txt --size 30000 --cased --proportion 0.1 --out vocab.txt
    """
    from rich.console import Console

    from power_bert.corpus.document_split import DocumentSplit
    from power_bert.corpus.documents import DocumentRules
    from power_bert.corpus.vocabulary_file import VocabularyOrigin
    from power_bert.corpus.vocabulary_training import train_vocabulary_file
    from power_bert.predict.rows_progress import rows_progress
    from power_bert.storage.locks import one_writer

    origin = VocabularyOrigin(
        not cased,
        DocumentRules(document_separator, max_document_characters),
        DocumentSplit(test_share, proportion, seed),
    )
    with (
        one_writer(out, wait),
        rows_progress(Console(), "training the vocabulary, two passes", "documents") as advance,
    ):
        tokens = train_vocabulary_file(sources, out, size, origin, lambda: advance(1))
    typer.echo(f"wrote {out}: {len(tokens)} tokens")
    if len(tokens) < size:
        typer.echo(f"(the text has no more; --size was {size})")


def prepare_corpus(
    sources: Sources,
    vocab: Annotated[Path, typer.Option(help="Vocabulary (vocab.txt) from train-vocab or a checkpoint.")],
    out: Annotated[Path, typer.Option(help="Folder for the prepared corpus.")],
    length: Annotated[int, typer.Option(help="Tokens per record, including [CLS] and [SEP].")] = 128,
    test_share: TestShare = 0.01,
    proportion: Proportion = 1.0,
    seed: Seed = 0,
    document_separator: Separator = "empty-line",
    max_document_characters: MaxCharacters = 1_000_000,
    cased: Annotated[
        bool | None,
        typer.Option("--cased/--uncased", help="Whether the vocabulary is cased [default: read from its files]."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes that tokenize.")] = 2,
    runner: Runner = "local",
    beam_option: BeamOption = None,
    wait: Wait = False,
) -> None:
    """Split text into train and test by document, tokenize it and pack it into records for pre-training.

    Run the same command again to resume an interrupted call: only missing shards are made.

    Examples:

        bash run.sh prepare-corpus books.txt.gz --vocab vocab.txt --out corpus --length 128 --test-share 0.05

        bash run.sh prepare-corpus texts/ --vocab vocab.txt --out sample --proportion 0.01 --workers 8

        POWER_BERT_VENV=.venv-beam EXTRAS=beam bash run.sh prepare-corpus texts/ --vocab vocab.txt --out corpus
        --runner beam
    """
    from rich.console import Console

    from power_bert.corpus import preparation
    from power_bert.corpus.document_split import DocumentSplit
    from power_bert.corpus.documents import DocumentRules
    from power_bert.corpus.manifest import describe_corpus, make_plan
    from power_bert.predict.rows_progress import rows_progress
    from power_bert.storage.locks import one_writer

    rules = DocumentRules(document_separator, max_document_characters)
    split = DocumentSplit(test_share, proportion, seed)
    plan = make_plan(sources, vocab, length, rules, split, None if cased is None else not cased)
    with one_writer(out, wait), rows_progress(Console(), "preparing the corpus", "documents") as advance:
        corpus = preparation.prepare_corpus(
            plan, out, vocab, workers, runner, beam_option or [], lambda shard: advance(shard.documents)
        )
    typer.echo(describe_corpus(corpus))
