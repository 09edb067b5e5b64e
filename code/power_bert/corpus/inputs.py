"""Inputs of a corpus, made from the files, folders and `tfds:…` names of the user; each is read by one reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.corpus.documents import DocumentRules, read_corpus_documents, split_documents
from power_bert.errors import UserError
from power_bert_runtime.parsing import parsing

TFDS_PREFIX = "tfds:"
_ENDINGS = (".txt", ".txt.gz")
# Small files are combined to one input of up to this size, so that many files do not become as many shards.
_INPUT_BYTES = 4 * 2**20
_TFDS_EXAMPLES = 100_000
_TFDS_BATCH = 256


@dataclass(frozen=True)
class FileInput:
    """Files that are read one after another.

    Attributes:
        paths: Paths of the files.
        sizes: Sizes in bytes, for messages and to detect a changed corpus.
    """

    paths: tuple[str, ...]
    sizes: tuple[int, ...]

    def documents(self, rules: DocumentRules) -> Iterator[str]:
        """Yield the documents of all files."""
        for path in self.paths:
            yield from read_corpus_documents(path, rules)


@dataclass(frozen=True)
class TfdsInput:
    """Slice of the training split of a data set of TensorFlow Datasets.

    Attributes:
        name: Name of the data set.
        start: First example.
        stop: End of the slice, exclusive; None for all remaining examples.
    """

    name: str
    start: int
    stop: int | None

    def documents(self, rules: DocumentRules) -> Iterator[str]:
        """Yield the documents in all texts of all examples."""
        from power_bert.text.tfds_source import read_tfds

        builder = _open(self.name)
        texts = _text_features(self.name, builder)
        where = f"{TFDS_PREFIX}{self.name}"
        split = f"train[{self.start}:{'' if self.stop is None else self.stop}]"
        for batch in read_tfds(builder, split, where, _TFDS_BATCH):
            for example in zip(*(batch[name] for name in texts), strict=True):
                yield from split_documents(_lines_of(example, where), rules)


CorpusInput = FileInput | TfdsInput


def describe_input(corpus_input: CorpusInput) -> dict[str, Any]:
    """Return an input as a JSON-serializable object, equal for equal inputs."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(corpus_input).items()}


def list_inputs(sources: Sequence[str]) -> list[CorpusInput]:
    """List the inputs of a corpus in an order that does not depend on the machine.

    Args:
        sources: Files with any name, folders (whose `.txt` and `.txt.gz` files are read recursively) and `tfds:NAME`.

    Raises:
        UserError: A source does not exist, or a folder has no text files.
    """
    files: list[Path] = []
    inputs: list[CorpusInput] = []
    for source in sources:
        if source.startswith(TFDS_PREFIX):
            inputs += _tfds_inputs(source.removeprefix(TFDS_PREFIX))
        else:
            files += _files(Path(source))
    return [*_group(files), *inputs]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder. Give text files, a folder with some, or tfds:NAME.")
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(_ENDINGS))
    if not found:
        raise UserError(f"{path}: no {' or '.join(_ENDINGS)} file in it. Give the text files themselves.")
    return found


def _group(files: Sequence[Path]) -> Iterator[FileInput]:
    """Group consecutive files up to `_INPUT_BYTES`; a larger file is a group of its own."""
    paths: list[str] = []
    sizes: list[int] = []
    for file in files:
        size = file.stat().st_size
        if paths and sum(sizes) + size > _INPUT_BYTES:
            yield FileInput(tuple(paths), tuple(sizes))
            paths, sizes = [], []
        paths.append(str(file.resolve()))
        sizes.append(size)
    if paths:
        yield FileInput(tuple(paths), tuple(sizes))


def _tfds_inputs(name: str) -> list[TfdsInput]:
    builder = _open(name)
    _text_features(name, builder)
    splits = builder.info.splits
    if not splits:  # the data set does not know its size
        return [TfdsInput(name, 0, None)]
    if "train" not in splits:
        raise UserError(f"{TFDS_PREFIX}{name}: no split named train; there are {', '.join(splits)}.")
    end = splits["train"].num_examples
    return [TfdsInput(name, start, min(start + _TFDS_EXAMPLES, end)) for start in range(0, end, _TFDS_EXAMPLES)]


def _open(name: str) -> Any:
    from power_bert.text.tfds_source import open_tfds

    return open_tfds(name, f"{TFDS_PREFIX}{name}")


def _lines_of(texts: Sequence[bytes], where: str) -> Iterator[str]:
    with parsing(where, "UTF-8 text"):
        lines = b"\n".join(texts).decode("utf-8").split("\n")
    return (line.strip() for line in lines)


def _text_features(name: str, builder: Any) -> list[str]:
    """Return the names of the text features."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    texts = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
    if not texts:
        raise UserError(f"{TFDS_PREFIX}{name}: none of its features is a text; there are {', '.join(features)}.")
    return texts
