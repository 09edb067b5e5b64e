"""Downloads of published files: an interrupted one is resumed, its size is bounded, its sha256 is checked.

No known library does all three. pooch opens its target anew and sends no Range header, so it cannot resume, and it
reads as many bytes as the server sends. The `http_get` of huggingface_hub resumes, but is internal, turns errors into
those of the hub and checks the size only at the end. `keras.utils.get_file` does not resume either.
"""

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from power_bert.errors import UserError, shorten
from power_bert.storage.files import file_sha256

# Progress callback: (bytes_done, bytes_total); bytes_total is None if unknown.
ByteProgress = Callable[[int, int | None], None]

_TIMEOUT_S = 30.0
# Attempts in a row without any new bytes.
_MAX_STALLED = 3
_BLOCK_BYTES = 1 << 18
_SCHEMES = ("http://", "https://")
_RANGE_START = re.compile(r"bytes (\d{1,18})-")
_RANGE_TOTAL = re.compile(r"bytes \*/(\d{1,18})")
_LENGTH = re.compile(r"\d{1,18}")


class TransferError(UserError):
    """A file could not be fetched; the bytes received so far are kept."""


@dataclass(frozen=True)
class PublishedFile:
    """A file whose content is known before it is fetched.

    Attributes:
        urls: Addresses, tried in this order.
        max_bytes: Largest number of bytes that is ever fetched.
        sha256: Checksum of the content.
    """

    urls: tuple[str, ...]
    max_bytes: int
    sha256: str


def set_file_aside(path: Path) -> Path:
    """Rename a file that was refused, so that another one can take its place; return its new path.

    The new name has the beginning of the file's sha256: refusing the same content again leaves no second copy.
    """
    aside = path.with_name(f"{path.name}.refused-{file_sha256(path)[:8]}")
    os.replace(path, aside)
    return aside


def fetch_file(url: str, target: Path, published: PublishedFile, progress: ByteProgress) -> None:
    """Download a file to `<target>.part`, and rename it when it is complete and has the published content.

    An existing `.part` is resumed. If the result is not the published content, its beginning was of another version,
    and the file is fetched once more from its start.

    Args:
        url: Address that begins with http or https.
        target: Path of the file; an existing one is replaced.
        published: Expected content.
        progress: Progress callback.

    Raises:
        TransferError: The server cannot be reached, does not have the file, or the connection breaks repeatedly; or it
            sends other content, which is set aside.
        OSError: The file cannot be written.
    """
    if not url.startswith(_SCHEMES):
        raise TransferError(f"{shorten(url)}: cannot be fetched; expected an address that begins with http or https")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    if _size(part) > published.max_bytes:
        part.unlink()
    was_there = _size(part) > 0
    _complete(url, part, published.max_bytes, progress)
    if was_there and file_sha256(part) != published.sha256:
        part.unlink()
        _complete(url, part, published.max_bytes, progress)
    os.replace(part, target)
    if (found := file_sha256(target)) != published.sha256:
        raise TransferError(
            f"{url}: not the published {target.name} (its sha256 is {found}, expected {published.sha256}). What was "
            f"sent is set aside as {set_file_aside(target)}"
        )


def _complete(url: str, part: Path, max_bytes: int, progress: ByteProgress) -> None:
    """Fetch the missing bytes of a file; a connection that breaks is opened again."""
    stalled = 0
    while stalled < _MAX_STALLED:
        before = _size(part)
        if _fetch_rest(url, part, before, max_bytes, progress):
            return
        stalled = 0 if _size(part) > before else stalled + 1
    raise TransferError(f"{url}: the connection breaks again and again; the next call goes on")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, part: Path, start: int, max_bytes: int, progress: ByteProgress) -> bool:
    """Fetch the missing bytes of a file over one connection; return whether the file is complete."""
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _is_whole_or_removed(part, start, error.headers.get("Content-Range", ""))
        raise TransferError(f"{url}: the server answers {error.code} {shorten(error.reason)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: no address at all
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise TransferError(f"{url}: cannot be fetched ({shorten(reason)})") from error
    with response:
        begins = _RANGE_START.match(response.headers.get("Content-Range", ""))
        if not (response.status == http.HTTPStatus.PARTIAL_CONTENT and begins and int(begins[1]) == start):
            start = 0  # the server sends the whole file
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if _LENGTH.fullmatch(length) else None
        with open(part, "ab" if start else "wb") as file:
            return _copy(url, response, file, start, total, max_bytes, progress)


def _is_whole_or_removed(part: Path, size: int, content_range: str) -> bool:
    """Return whether the `size` bytes are the whole file; if not, they are of another version and are removed."""
    total = _RANGE_TOTAL.match(content_range)
    if total and int(total[1]) == size:
        return True
    part.unlink()
    return False


def _copy(
    url: str,
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done: int,
    total: int | None,
    max_bytes: int,
    progress: ByteProgress,
) -> bool:
    """Append a response to the file; return whether it came to its end, which a broken connection does not."""
    progress(done, total)
    while True:
        if max(done, total or 0) > max_bytes:
            raise TransferError(f"{url}: sends {total or done:,} bytes; the published file has at most {max_bytes:,}")
        try:
            block = response.read(_BLOCK_BYTES)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        if not block:
            return total is None or done == total
        file.write(block)
        done += len(block)
        progress(done, total)
