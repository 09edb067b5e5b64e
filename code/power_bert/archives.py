"""Zip, tar and gzip files from outside: read to their ends, so that damage shows, and never unpacked without bound."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from power_bert.errors import UserError, shorten
from power_bert.parsing import parsing

# Text shrinks to between a half and a tenth; what unpacks to more than this many times its size was made to do harm.
_MAX_RATIO = 200
# Small files may shrink more, for example those of tests.
_SMALL_BYTES = 64 * 2**20
# The largest archive that is fetched (MNLI) unpacks to about 1 GB.
_MAX_BYTES = 8 * 2**30
# zipfile unpacks these in steps of bounded size, which is not so for bzip2 and LZMA.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_TAR_BLOCK = 512


class CheckedGzip(gzip.GzipFile):
    """The content of a gzip file; raises where it unpacks to far more than any text does.

    Args:
        path: The file.
        max_bytes: What it may unpack to at most; None bounds the ratio alone.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        super().__init__(path, "rb")
        self._path = path
        self._allowed = _allowed_bytes(path.stat().st_size, max_bytes)
        self._bytes_in_lines = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes; -1 reads to the end, as far as the bound allows."""
        left = max(self._allowed - self.tell(), 0) + 1  # one more byte than allowed, so that the check sees it
        data = super().read(left if size is None or size < 0 else min(size, left))
        self._check(self.tell())
        return data

    def readline(self, size: int | None = -1) -> bytes:
        """Read one line, or its next `size` bytes."""
        line = super().readline(size)
        self._bytes_in_lines += len(line)  # counted: asking for the position takes as long as reading a line
        self._check(self._bytes_in_lines)
        return line

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Unpack up to a place."""
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, position: int) -> None:
        if position > self._allowed:
            raise UserError(f"{self._path}: unpacks to more than {self._allowed:,} bytes, which no text does")


class ZipReader:
    """A zip archive from outside, whose members are checked before they are read; made by `open_zip`.

    Args:
        path: For messages.
        archive: The open archive.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._left = _allowed_bytes(path.stat().st_size, _MAX_BYTES)
        self.counts = Counter(entry.filename for entry in archive.infolist())

    def check_places(self) -> None:
        """Raise a UserError if a member names a place outside of the archive."""
        for filename in self.counts:
            name = PurePosixPath(filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise UserError(f"{self._path}: holds {shorten(repr(filename))}, which lies outside of the archive")

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member; its checksum is compared when it has been read to its end.

        Raises:
            UserError: There is no such member, it is a link, encrypted, packed in another way than usual, unpacks to
                too much or is damaged.
        """
        place = f"{self._path}, {shorten(name)}"
        with reading_archive(place, "member of a zip archive"):
            entry = self._archive.getinfo(name)
            self._check_entry(place, entry)
            with self._archive.open(entry) as file:
                yield file

    def extract(self, name: str, target: Path) -> None:
        """Write the content of a member to a file; see `open`."""
        with self.open(name) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)

    def _check_entry(self, place: str, entry: zipfile.ZipInfo) -> None:
        if entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{place}: is a {'folder' if entry.is_dir() else 'link'}; expected a file")
        if entry.flag_bits & _ENCRYPTED:
            raise UserError(f"{place}: is encrypted; expected a zip archive without a password")
        if entry.compress_type not in _METHODS:
            raise UserError(f"{place}: is packed by method {entry.compress_type}; expected stored or deflated files")
        # zipfile never reads past the declared sizes, so they bound the real ones.
        self._left -= entry.file_size
        if self._left < 0 or entry.file_size > _allowed_bytes(entry.compress_size, _MAX_BYTES):
            raise UserError(f"{place}: unpacks to {entry.file_size:,} bytes, which is more than any table of its size")


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[ZipReader]:
    """Open a zip archive.

    Raises:
        UserError: It is damaged, or no zip archive.
        OSError: It cannot be read.
    """
    with contextlib.ExitStack() as stack:
        with reading_archive(path, "zip archive"):
            reader = ZipReader(path, stack.enter_context(zipfile.ZipFile(path)))
        yield reader


def read_tar_gz(
    path: Path, is_wanted: Callable[[str], bool], max_member_bytes: int, max_bytes: int = _MAX_BYTES
) -> Iterator[tuple[str, bytes]]:
    """Read files of a `.tar.gz` archive; what has come is only known to be whole when the iteration ends.

    Args:
        path: The archive.
        is_wanted: Whether the member of this name is read.
        max_member_bytes: Size of the largest member that is read.
        max_bytes: What the whole archive may unpack to.

    Yields:
        Name and content; only of regular files, never of links.

    Raises:
        UserError: The archive is damaged, cut off or unpacks to too much.
        OSError: It cannot be read.
    """
    with reading_archive(path, "tar.gz archive"), CheckedGzip(path, max_bytes) as file:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                is_read = member.isreg() and is_wanted(member.name)
                # A negative size would lead tarfile back to the same member, for ever.
                if not 0 <= member.size <= (max_member_bytes if is_read else max_bytes):
                    raise UserError(f"{path}, {shorten(member.name)}: declares {member.size:,} bytes, which cannot be")
                content = tar.extractfile(member) if is_read else None
                if content is not None:
                    yield member.name, content.read()
            file.seek(tar.offset)
        _check_end_of_tar(file)


def _check_end_of_tar(file: CheckedGzip) -> None:
    """Read what follows the last member, zeros: tarfile ends silently at a damaged header, and before the checksum."""
    zeros = 0
    while block := file.read(1 << 20):
        if block.strip(b"\x00"):
            raise ValueError("no member begins where the last one ends")
        zeros += len(block)
    if zeros < _TAR_BLOCK:
        raise EOFError("the end of the archive is missing")


@contextlib.contextmanager
def reading_archive(place: str | Path, kind: str) -> Iterator[None]:
    """Turn any failure inside the block that the data have caused into a `UserError`.

    Args:
        place: Path of the archive, and the member.
        kind: What is read, as in "zip archive".
    """
    with parsing(place, f"a whole {kind}"):
        try:
            yield
        except OSError as error:
            # Errors of the format that Python takes for errors of the system; the second is a seek to a place < 0.
            if isinstance(error, gzip.BadGzipFile) or error.errno == errno.EINVAL:
                raise ValueError(str(error)) from error
            raise


def _allowed_bytes(packed_bytes: int, max_bytes: int | None) -> int:
    allowed = max(_SMALL_BYTES, _MAX_RATIO * packed_bytes)
    return allowed if max_bytes is None else min(allowed, max_bytes)
