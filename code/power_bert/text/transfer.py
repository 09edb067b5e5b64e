"""Downloads of files that go on where an interrupted one stopped."""

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from power_bert.errors import UserError

# Told the bytes that are there and, where the server says it, those of the whole file.
Progress = Callable[[int, int | None], None]

_TIMEOUT_S = 30.0
# Attempts in a row that bring nothing.
_MAX_STALLED = 3
_BLOCK_BYTES = 1 << 18
_RANGE_START = re.compile(r"bytes (\d+)-")
_RANGE_TOTAL = re.compile(r"bytes \*/(\d+)")


class TransferError(UserError):
    """A file could not be fetched; what has come of it is kept."""


def fetch_file(url: str, target: Path, progress: Progress) -> None:
    """Downloads a file into `target` with `.part` at its end, and renames it when it is whole.

    A `.part` that is there is completed, not fetched anew; so is what a broken connection left.

    Args:
        url: http or https.
        target: The file; one that is there is replaced.
        progress: Told how far it is.

    Raises:
        TransferError: The server cannot be reached, does not have the file, or the connection breaks again and again.
        OSError: The file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    stalled = 0
    while stalled < _MAX_STALLED:
        before = _size(part)
        if _fetch_rest(url, part, before, progress):
            os.replace(part, target)
            return
        stalled = 0 if _size(part) > before else stalled + 1
    raise TransferError(f"{url}: the connection breaks again and again; the next call goes on")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, part: Path, start: int, progress: Progress) -> bool:
    """Appends what is missing; returns whether the file is whole now."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _is_whole_or_removed(part, start, error.headers.get("Content-Range", ""))
        raise TransferError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise TransferError(f"{url}: cannot be fetched ({reason})") from error
    with response:
        begins = _RANGE_START.match(response.headers.get("Content-Range", ""))
        if not (response.status == http.HTTPStatus.PARTIAL_CONTENT and begins and int(begins[1]) == start):
            start = 0  # the server sends the whole file
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with open(part, "ab" if start else "wb") as file:
            return _copy(response, file, start, total, progress)


def _is_whole_or_removed(part: Path, size: int, content_range: str) -> bool:
    """The server has nothing after `size` bytes: they are the whole file, or of another one."""
    total = _RANGE_TOTAL.match(content_range)
    if total and int(total[1]) == size:
        return True
    part.unlink()
    return False


def _copy(response: http.client.HTTPResponse, file: BinaryIO, done: int, total: int | None, progress: Progress) -> bool:
    """Returns whether all came; a broken connection is no error."""
    progress(done, total)
    while True:
        try:
            block = response.read(_BLOCK_BYTES)
        except (OSError, http.client.HTTPException):
            return False
        if not block:
            return total is None or done == total
        file.write(block)
        done += len(block)
        progress(done, total)
