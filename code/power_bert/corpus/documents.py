"""Documents of text files, plain or gzip, read one after another so that memory holds one document and never a file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from power_bert.errors import UserError, shorten
from power_bert.storage.archives import CheckedGzip

SEPARATORS = ("empty-line", "line", "file")
# A text file has no such line. A binary file can, and it would be held in memory as a whole.
_MAX_LINE_BYTES = 16 * 2**20
_BOM = b"\xef\xbb\xbf"
_REMEDY = "Give UTF-8 text, plain or gzip."


@dataclass(frozen=True)
class DocumentRules:
    """Rules for where a document ends.

    Attributes:
        separator: "empty-line" (empty lines separate documents), "line" (each line is a document) or "file".
        max_characters: Largest document; a longer one is split at a line end into several documents.
    """

    separator: str = "empty-line"
    max_characters: int = 1_000_000

    def __post_init__(self) -> None:
        if self.separator not in SEPARATORS:
            raise UserError(
                f"--document-separator {shorten(repr(self.separator))}: expected one of {', '.join(SEPARATORS)}"
            )
        if self.max_characters < 1:
            raise UserError(f"--max-document-characters {self.max_characters}: expected a number from 1")


def read_corpus_documents(path: str | Path, rules: DocumentRules) -> Iterator[str]:
    """Read the documents of a file: their non-empty lines, joined with LF.

    Raises:
        UserError: The file is missing, damaged or not UTF-8 text; the message names the line.
    """
    return split_documents(_lines(Path(path)), rules)


def split_documents(lines: Iterator[str], rules: DocumentRules) -> Iterator[str]:
    """Yield documents from lines without line ends."""
    document: list[str] = []
    characters = 0
    for line in lines:
        if line:
            document.append(line)
            characters += len(line)
        is_end = rules.separator == "line" or (rules.separator == "empty-line" and not line)
        if document and (is_end or characters >= rules.max_characters):
            yield "\n".join(document)
            document, characters = [], 0
    if document:
        yield "\n".join(document)


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without surrounding white space."""
    number = 0
    try:
        with _open(path) as file:
            while raw := file.readline(_MAX_LINE_BYTES):
                number += 1
                yield _decode(path, number, raw.removeprefix(_BOM) if number == 1 else raw).strip()
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise UserError(
                f"{path}: cannot be read ({error.strerror or error}). Check the path and its permissions."
            ) from None
        raise UserError(
            f"{path}: damaged after line {number} ({shorten(error)}). Restore the file or pack it again."
        ) from None


def _open(path: Path) -> BinaryIO:
    # Gzip is recognized by its first bytes, so the file name does not matter.
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, CheckedGzip(path)) if is_gzip else open(path, "rb")


def _decode(path: Path, number: int, raw: bytes) -> str:
    if len(raw) >= _MAX_LINE_BYTES:
        raise UserError(f"{path}, line {number}: longer than {_MAX_LINE_BYTES:,} bytes, which is no text. {_REMEDY}")
    if b"\x00" in raw:
        raise UserError(f"{path}, line {number}: holds a zero byte, so the file is binary. {_REMEDY}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {number}: byte 0x{raw[error.start]:02x} is not UTF-8. {_REMEDY} iconv converts a file."
        ) from None
