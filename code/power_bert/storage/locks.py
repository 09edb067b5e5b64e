"""One writer at a time: a lock beside a folder or file that a process writes over a long time.

The operating system locks ``<parent>/.<name>.lock`` and releases it when the process ends, however it ends. The file
names its holder, for messages alone. It lies beside the folder, so that the folder can be moved aside and does not
exist before there is something to write. It lies inside only if the parent is not writable.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from filelock import FileLock, Timeout

from power_bert.errors import UserError
from power_bert.storage.disk_errors import disk_errors_explained
from power_bert.storage.files import INNER_LOCK, is_running

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_SECONDS_BETWEEN_TRIES = 0.5
# Errors of file systems without locks.
_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
# Targets that this process has locked, so that a nested job does not lock itself out.
_held: set[Path] = set()


@dataclass(frozen=True)
class Holder:
    """Holder of a lock.

    Attributes:
        process: Process id.
        host: Name of the machine.
        since: Date and time at which the lock was taken.
    """

    process: int
    host: str
    since: str

    @property
    def is_gone(self) -> bool:
        """Whether the process has certainly ended; unknown, and so False, for another machine."""
        return self.host == socket.gethostname() and not is_running(self.process)

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@contextlib.contextmanager
def one_writer(target: str | Path, wait: bool = False) -> Iterator[None]:
    """Make this process the only writer of a folder or file inside the block.

    On a file system that is read-only or has no locks, the block runs without one.

    Args:
        target: Folder or file that is written; it need not exist.
        wait: Whether to wait for another writer.

    Raises:
        UserError: Another process is writing the target, and the message names it; or writing failed, for example
            because the disk is full.
    """
    real = Path(os.path.realpath(target))
    if real in _held:
        yield
        return
    with _parent_of(real) as parent:
        path = parent / f".{real.name}.lock" if os.access(parent, os.W_OK) else real / INNER_LOCK
        lock = FileLock(path, fallback_to_soft=False, on_acquired=_sign)
        is_locked = _acquire(lock, path, target, wait)
        _held.add(real)
        try:
            with disk_errors_explained(Path(target)):
                yield
        finally:
            _held.remove(real)
            if is_locked:
                # A process that waits for the lock notices that its file is gone, and makes another.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                lock.release()


@contextlib.contextmanager
def _parent_of(path: Path) -> Iterator[Path]:
    """Yield the parent folder; remove it and its parents again if they had to be created and stay empty."""
    made = [folder for folder in path.parents if not folder.exists()]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path.parent
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _acquire(lock: FileLock, path: Path, target: str | Path, wait: bool) -> bool:
    """Take the lock; return whether there is one."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = _living_holder(path)
        if not wait:
            raise _in_use(target, holder) from None
        print(f"waiting for {holder or 'another process'}, which is writing {target}", file=sys.stderr, flush=True)
        lock.acquire(poll_interval=_SECONDS_BETWEEN_TRIES)
    except OSError as error:
        # The lock file of another user cannot be opened, but its content still tells whether it is in use.
        if holder := _living_holder(path):
            raise _in_use(target, holder) from None
        if error.errno in _UNSUPPORTED:
            print(f"{target}: cannot be locked ({error.strerror}); let no other call write it", file=sys.stderr)
        return False
    return True


def _in_use(target: str | Path, holder: Holder | None) -> UserError:
    return UserError(
        f"{target} is in use by {holder or 'another process'}. Wait for its end (--wait does), or write elsewhere"
    )


def _sign(descriptor: int) -> None:
    """Write the holder of the lock into its file."""
    note = Holder(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(note)).encode(), 0)


def _living_holder(path: Path) -> Holder | None:
    """Return the holder that a lock file names; None if that process has ended."""
    try:
        values = json.loads(path.read_bytes())
        holder = Holder(int(values["process"]), str(values["host"]), str(values["since"]))
        return None if holder.is_gone else holder
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def writes(
    target: Callable[..., str | Path], wait: bool = False
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function so that it is the only writer of a folder while it runs.

    Args:
        target: Function from the arguments to the folder.
        wait: Whether to wait for another writer.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(function)
        def locked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with one_writer(target(*args, **kwargs), wait):
                return function(*args, **kwargs)

        return locked

    return decorate
