"""Commands from raw text to what pre-training reads: a vocabulary, a prepared corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from power_bert.commands.options import Wait

Sources = Annotated[
    list[str], typer.Argument(help="text files (plain or gzip), folders with .txt or .txt.gz files, tfds:NAME")
]
TestShare = Annotated[float, typer.Option(help="share of the documents that is kept for the test")]
Proportion = Annotated[float, typer.Option(help="share of the documents that is used at all")]
Seed = Annotated[int, typer.Option(help="decides which documents are used, and which for the test")]
Separator = Annotated[
    str, typer.Option(help="what ends a document: an empty line (empty-line), every line (line), the file (file)")
]
MaxCharacters = Annotated[
    int,
    typer.Option(help="longer documents are cut at the end of a line; their parts count as documents"),
]


def train_vocab(
    sources: Sources,
    size: Annotated[int, typer.Option(help="tokens, the special ones included")] = 8192,
    out: Annotated[Path, typer.Option(help="file to write; how it was trained goes beside it, as .json")] = Path(
        "vocab.txt"
    ),
    cased: Annotated[bool, typer.Option("--cased/--uncased", help="keep capitals and accents")] = False,
    test_share: TestShare = 0.01,
    proportion: Proportion = 1.0,
    seed: Seed = 0,
    document_separator: Separator = "empty-line",
    max_document_characters: MaxCharacters = 1_000_000,
    wait: Wait = False,
) -> None:
    """Train a WordPiece vocabulary on the training documents of text files; documents of the test split are left out.

    Give prepare-corpus the same --seed, --test-share and document options: it then takes the same documents for the
    test. Instead of text, one prepared corpus can be given: its sources are read with its own split.

    Examples:

        bash run.sh train-vocab books.txt.gz --size 8192 --out vocab.txt

        bash run.sh train-vocab texts/ more.txt --size 30000 --cased --proportion 0.1 --out vocab.txt
    """
    from rich.console import Console

    from power_bert.corpus.document_split import DocumentSplit
    from power_bert.corpus.documents import DocumentRules
    from power_bert.corpus.vocabulary import train_vocabulary_file
    from power_bert.corpus.vocabulary_file import VocabularyOrigin
    from power_bert.locks import one_writer
    from power_bert.train.rows_progress import rows_progress

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
        typer.echo(f"(the text has no more: {size} were asked for)")


def prepare_corpus(
    sources: Sources,
    vocab: Annotated[Path, typer.Option(help="vocab.txt, from train-vocab or of a checkpoint")],
    out: Annotated[Path, typer.Option(help="folder of the prepared corpus")],
    length: Annotated[int, typer.Option(help="tokens of a record, [CLS] and [SEP] included")] = 128,
    test_share: TestShare = 0.01,
    proportion: Proportion = 1.0,
    seed: Seed = 0,
    document_separator: Separator = "empty-line",
    max_document_characters: MaxCharacters = 1_000_000,
    cased: Annotated[
        bool | None, typer.Option("--cased/--uncased", help="of the vocabulary; default: as it says itself")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that tokenise")] = 2,
    runner: Annotated[str, typer.Option(help="local, or beam (Apache Beam, for corpora past one machine)")] = "local",
    beam_option: Annotated[
        list[str] | None, typer.Option(help="option of the Beam job, such as --runner=FlinkRunner; can be repeated")
    ] = None,
    wait: Wait = False,
) -> None:
    """Split text into train and test by document, tokenise it and pack it into records for pre-training.

    An interrupted call goes on with the shards that are missing when the same command is given again.

    Examples:

        bash run.sh prepare-corpus books.txt.gz --vocab vocab.txt --out corpus --length 128 --test-share 0.05

        bash run.sh prepare-corpus texts/ --vocab vocab.txt --out sample --proportion 0.01 --workers 8

        EXTRAS=beam bash run.sh prepare-corpus texts/ --vocab vocab.txt --out corpus --runner beam
    """
    from rich.console import Console

    from power_bert.corpus import preparation
    from power_bert.corpus.document_split import DocumentSplit
    from power_bert.corpus.documents import DocumentRules
    from power_bert.corpus.manifest import describe_corpus, make_plan
    from power_bert.locks import one_writer
    from power_bert.train.rows_progress import rows_progress

    rules = DocumentRules(document_separator, max_document_characters)
    split = DocumentSplit(test_share, proportion, seed)
    plan = make_plan(sources, vocab, length, rules, split, None if cased is None else not cased)
    with one_writer(out, wait), rows_progress(Console(), "preparing the corpus", "documents") as advance:
        corpus = preparation.prepare_corpus(
            plan, out, vocab, workers, runner, beam_option or [], lambda shard: advance(shard.documents)
        )
    typer.echo(describe_corpus(corpus))
