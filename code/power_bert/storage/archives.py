"""Reading of untrusted zip, tar and gzip files: to their end, so that damage shows, and with bounded unpacked size."""

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
from power_bert_runtime.parsing import parsing

# Text compresses 2 to 10 times. A file that unpacks to more than this many times its size is malicious.
_MAX_RATIO = 200
# Small files, such as those of tests, may compress better.
_SMALL_BYTES = 64 * 2**20
# MNLI, the largest archive that is downloaded, unpacks to about 1 GB.
_MAX_BYTES = 8 * 2**30
# zipfile unpacks these in steps of bounded size, but not bzip2 and LZMA.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_TAR_BLOCK = 512


class CheckedGzip(gzip.GzipFile):
    """Gzip file that raises an error if it unpacks to far more than text does.

    Args:
        path: Path of the file.
        max_bytes: Largest unpacked size in bytes; None bounds the compression ratio alone.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        super().__init__(path, "rb")
        self._path = path
        self._allowed = _allowed_bytes(path.stat().st_size, max_bytes)
        self._bytes_in_lines = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes; -1 reads to the end, within the bound."""
        left = max(self._allowed - self.tell(), 0) + 1  # one byte more than allowed, so that the check sees it
        data = super().read(left if size is None or size < 0 else min(size, left))
        self._check(self.tell())
        return data

    def readline(self, size: int | None = -1) -> bytes:
        """Read one line, or its next `size` bytes."""
        line = super().readline(size)
        self._bytes_in_lines += len(line)  # counted, because asking for the position takes as long as reading a line
        self._check(self._bytes_in_lines)
        return line

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Unpack up to a position."""
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, position: int) -> None:
        if position > self._allowed:
            raise UserError(f"{self._path}: unpacks to more than {self._allowed:,} bytes, which no text does")


class ZipReader:
    """Untrusted zip archive whose members are checked before they are read; `open_zip` makes it.

    Args:
        path: Path of the archive, for messages.
        archive: Open archive.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._left = _allowed_bytes(path.stat().st_size, _MAX_BYTES)
        self.counts = Counter(entry.filename for entry in archive.infolist())

    def check_places(self) -> None:
        """Raise a `UserError` if a member has a path outside of the archive."""
        for filename in self.counts:
            name = PurePosixPath(filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise UserError(f"{self._path}: holds {shorten(repr(filename))}, which lies outside of the archive")

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member; its checksum is compared when it has been read to its end.

        Raises:
            UserError: There is no such member, or it is a link, encrypted, packed by an unsupported method, too large
                or damaged.
        """
        place = f"{self._path}, {shorten(name)}"
        with reading_archive(place, "member of a zip archive"):
            entry = self._archive.getinfo(name)
            self._check_entry(place, entry)
            with self._archive.open(entry) as file:
                yield file

    def extract(self, name: str, target: Path) -> None:
        """Write the content of a member to a file; raises the errors of `open`."""
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
        UserError: The file is damaged, or no zip archive.
        OSError: The file cannot be read.
    """
    with contextlib.ExitStack() as stack:
        with reading_archive(path, "zip archive"):
            reader = ZipReader(path, stack.enter_context(zipfile.ZipFile(path)))
        yield reader


def read_tar_gz(
    path: Path, is_wanted: Callable[[str], bool], max_member_bytes: int, max_bytes: int = _MAX_BYTES
) -> Iterator[tuple[str, bytes]]:
    """Read files of a `.tar.gz` archive; the archive is only known to be undamaged when the iteration ends.

    Args:
        path: Path of the archive.
        is_wanted: Function that says by the name of a member whether to read it.
        max_member_bytes: Largest size of a member that is read.
        max_bytes: Largest unpacked size of the whole archive.

    Yields:
        Name and content of each regular file; links are skipped.

    Raises:
        UserError: The archive is damaged, truncated or too large.
        OSError: The file cannot be read.
    """
    with reading_archive(path, "tar.gz archive"), CheckedGzip(path, max_bytes) as file:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                is_read = member.isreg() and is_wanted(member.name)
                # A negative size would make tarfile return to the same member forever.
                if not 0 <= member.size <= (max_member_bytes if is_read else max_bytes):
                    raise UserError(f"{path}, {shorten(member.name)}: declares {member.size:,} bytes, which cannot be")
                content = tar.extractfile(member) if is_read else None
                if content is not None:
                    yield member.name, content.read()
            file.seek(tar.offset)
        _check_end_of_tar(file)


def _check_end_of_tar(file: CheckedGzip) -> None:
    """Read the zeros after the last member; tarfile itself ends silently at a damaged header, before the checksum."""
    zeros = 0
    while block := file.read(1 << 20):
        if block.strip(b"\x00"):
            raise ValueError("no member begins where the last one ends")
        zeros += len(block)
    if zeros < _TAR_BLOCK:
        raise EOFError("the end of the archive is missing")


@contextlib.contextmanager
def reading_archive(place: str | Path, kind: str) -> Iterator[None]:
    """Turn any failure that the data cause inside the block into a `UserError`.

    Args:
        place: Path of the archive, and the member.
        kind: What is read, such as "zip archive".
    """
    with parsing(place, f"a whole {kind}"):
        try:
            yield
        except OSError as error:
            # Python raises these errors of the format as errors of the system. The second one is a seek to a negative
            # position.
            if isinstance(error, gzip.BadGzipFile) or error.errno == errno.EINVAL:
                raise ValueError(str(error)) from error
            raise


def _allowed_bytes(packed_bytes: int, max_bytes: int | None) -> int:
    allowed = max(_SMALL_BYTES, _MAX_RATIO * packed_bytes)
    return allowed if max_bytes is None else min(allowed, max_bytes)
