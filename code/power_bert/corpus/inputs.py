"""What a user gives as a corpus (files, folders, `tfds:…`) as inputs: each is read from start to end by one reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.corpus.documents import DocumentRules, read_documents, split_documents
from power_bert.errors import UserError
from power_bert.parsing import parsing

TFDS_PREFIX = "tfds:"
_ENDINGS = (".txt", ".txt.gz")
# Small files share an input up to this size, so that a corpus of many files does not become as many shards.
_INPUT_BYTES = 4 * 2**20
_TFDS_EXAMPLES = 100_000
_TFDS_BATCH = 256


@dataclass(frozen=True)
class FileInput:
    """Files, read one after the other.

    Attributes:
        paths: of the files.
        sizes: their bytes, for messages and to notice another corpus.
    """

    paths: tuple[str, ...]
    sizes: tuple[int, ...]

    def documents(self, rules: DocumentRules) -> Iterator[str]:
        """The documents of all files."""
        for path in self.paths:
            yield from read_documents(path, rules)


@dataclass(frozen=True)
class TfdsInput:
    """Examples `start` to before `stop` (None: all) of the training split of a data set of TensorFlow Datasets."""

    name: str
    start: int
    stop: int | None

    def documents(self, rules: DocumentRules) -> Iterator[str]:
        """The documents in all texts of all examples."""
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
    """JSON-able; equal for equal inputs."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(corpus_input).items()}


def list_inputs(sources: Sequence[str]) -> list[CorpusInput]:
    """The inputs of a corpus, in an order that does not depend on the machine.

    Args:
        sources: Files (of any name), folders (their `.txt` and `.txt.gz` files, also in folders below) and
            `tfds:NAME`.

    Raises:
        UserError: A source is not there, or a folder has no text files.
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
    """Consecutive files up to `_INPUT_BYTES` together; a larger one alone."""
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
    if not splits:  # it does not know its size
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
    """Names of the features that are texts."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    texts = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
    if not texts:
        raise UserError(f"{TFDS_PREFIX}{name}: none of its features is a text; there are {', '.join(features)}.")
    return texts
