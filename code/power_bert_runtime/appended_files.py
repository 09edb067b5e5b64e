"""Reader of the zip appended to a model (vocabulary, labels, settings), which bounds all that it unpacks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from itertools import pairwise

_MOST_FILES = 100
# A vocabulary of 250,000 tokens takes 4 MB, and deflates to half or a third of that.
_MOST_BYTES = 64 << 20
_MOST_RATIO = 100
_ENCRYPTED = 1
_LOCAL_HEADER_BYTES = 30


def read_appended_files(content: bytes) -> tuple[dict[str, bytes], int]:
    """Read the files of the zip at the end of a model.

    Args:
        content: The whole .tflite file.

    Returns:
        Name → content, and the position where the zip begins; no files and the end of `content` if there is no zip.

    Raises:
        ValueError: The zip holds something that no exporter writes: entries that are not plain files, stored or
            deflated, or more than the limits above.
        zipfile.BadZipFile: The zip is damaged.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}, len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        _check_directory(entries)
        files = {entry.filename: _read(archive, entry) for entry in entries}
    return files, min((entry.header_offset for entry in entries), default=len(content))


def _check_directory(entries: Sequence[zipfile.ZipInfo]) -> None:
    """Check the directory before anything is unpacked."""
    if len(entries) > _MOST_FILES:
        raise ValueError(f"{len(entries):,} files inside, at most {_MOST_FILES} are expected")
    names = [entry.filename for entry in entries]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]!r} is inside more than once")
    if (total := sum(entry.file_size for entry in entries)) > _MOST_BYTES:
        raise ValueError(f"its files unpack to {total:,} bytes, at most {_MOST_BYTES:,} are expected")
    for entry in entries:
        _check_entry(entry)
    for entry, following in pairwise(entries):
        if following.header_offset < entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size:
            raise ValueError(f"{entry.filename!r} and {following.filename!r} overlap")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if not name or name in (".", "..") or not name.isprintable() or any(mark in name for mark in "/\\:"):
        raise ValueError(f"{name!r} is no name of a plain file")
    if entry.flag_bits & _ENCRYPTED:
        raise ValueError(f"{name!r} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name!r} is compressed with method {entry.compress_type}, expected stored or deflated")
    most = entry.compress_size * (_MOST_RATIO if entry.compress_type == zipfile.ZIP_DEFLATED else 1)
    if entry.file_size > most:
        raise ValueError(f"{name!r} unpacks {entry.compress_size:,} bytes to {entry.file_size:,}")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read a file, which must be as long as the directory says; one that is longer is not inflated further."""
    with archive.open(entry) as file:
        # With a number of bytes, read() inflates no more; without, it would inflate everything and then cut it.
        content = file.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise ValueError(f"{entry.filename!r} is incomplete")
    return content
