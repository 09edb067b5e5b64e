"""Explanations of operating system errors for the user."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from power_bert.errors import UserError, shorten

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn an error about writing in `folder` into a `UserError`."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error) or (isinstance(error, OSError) and not error.filename):
            raise UserError(explain_disk_error(error, folder)) from None
        if isinstance(error, OSError):
            raise UserError(explain_disk_error(error)) from None
        raise


def explain_disk_error(error: Exception, path: str | Path | None = None) -> str:
    """Explain in one line where the error happened, what it is and what to do.

    Args:
        error: `OSError`, or an error of a library that quotes one.
        path: File or folder that was read or written, if the error does not name it.
    """
    place = path or getattr(error, "filename", None)
    prefix = f"{os.fsdecode(place)}: " if place is not None else ""
    number = getattr(error, "errno", None)
    if is_disk_full(error):
        return (
            f"{prefix}the disk is full{_free_space(place)}. What is finished is kept: free some space and give the "
            "same command again."
        )
    reason = getattr(error, "strerror", None) or shorten(error)
    if number in _NOT_WRITABLE:
        return f"{prefix}cannot be written or read ({reason}); choose another folder, or change its permissions"
    return f"{prefix}{reason}. What is finished is kept: fix this and give the same command again."


def is_disk_full(error: Exception) -> bool:
    """Return whether no space, quota or file size is left; also recognizes library errors that quote the system's."""
    is_system_error = isinstance(error, OSError) and error.errno in _DISK_IS_FULL
    return is_system_error or any(os.strerror(number) in str(error) for number in _DISK_IS_FULL)


def _free_space(place: str | bytes | Path | None) -> str:
    """Return the free space where `place` lies, in parentheses; "" if it is unknown."""
    if place is None:
        return ""
    folder = Path(os.path.abspath(os.fsdecode(place)))
    with contextlib.suppress(OSError):
        while not folder.is_dir():
            folder = folder.parent
        return f" ({shutil.disk_usage(folder).free / 2**20:.0f} MB free)"
    return ""
