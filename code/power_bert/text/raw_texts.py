"""Raw texts, one example per line, from a file or from a pipe without end."""

from collections.abc import Iterator
from typing import Protocol

from power_bert.errors import UserError
from power_bert.storage.files import check_first_line, decode_lines
from power_bert.text.examples import Examples

_READ_BYTES = 1 << 20


class RawFile(Protocol):
    """Binary file that returns available data without waiting for more."""

    def read1(self, size: int, /) -> bytes:
        """Return at most `size` bytes; no bytes at the end."""


def stream_raw_examples(file: RawFile, name: str, is_pair: bool | None) -> Iterator[Examples]:
    """Read examples in chunks of all lines that are available, so that a pipe gets its answers at once.

    Every line is an example, also an empty one; LF or CR LF ends it. A byte order mark is dropped.

    Args:
        file: File to read.
        name: Name of the file, for messages.
        is_pair: Whether a line has two texts, separated by a tab; None lets the first line decide.

    Yields:
        One or more consecutive examples without labels.

    Raises:
        UserError: A line is not UTF-8 or has the wrong number of texts, or the line ends are CR alone.
    """
    first_line = 1
    for raw in _line_chunks(file):
        lines = [
            decode_lines(name, line, number).removesuffix("\r") for number, line in enumerate(raw, start=first_line)
        ]
        if first_line == 1:
            check_first_line(name, lines[0])
        if is_pair is None:
            is_pair = "\t" in lines[0]
        yield _split(name, lines, first_line, is_pair)
        first_line += len(lines)


def _line_chunks(file: RawFile) -> Iterator[list[bytes]]:
    """Yield complete lines without line ends; an incomplete line waits until it ends."""
    begun: list[bytes] = []
    while data := file.read1(_READ_BYTES):
        first, *others = data.split(b"\n")
        begun.append(first)
        if others:
            lines = [b"".join(begun), *others[:-1]]
            begun = [others[-1]]
            yield lines
    if last := b"".join(begun):
        yield [last]


def _split(name: str, lines: list[str], first_line: int, is_pair: bool) -> Examples:
    parts = [line.split("\t") for line in lines]
    wanted = 2 if is_pair else 1
    for number, part in enumerate(parts, start=first_line):
        if len(part) != wanted:
            expected = "two texts separated by one tab" if is_pair else "one text without a tab"
            raise UserError(f"{name}, line {number}: {len(part) - 1} tabs. Expected {expected} on every line.")
    return Examples([part[0] for part in parts], [part[1] for part in parts] if is_pair else None, None)
