"""One writer at a time: a lock beside a folder (or file) that a process writes over a long time.

``<parent>/.<name>.lock`` is locked by the operating system, which releases it when the process ends, however it ends;
what the file says of its holder is for messages alone. It lies beside the folder: the folder can be set aside, and does
not come into being before there is something to write. Only where the parent is not writable it lies inside.
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

from power_bert.disk_errors import disk_errors_explained
from power_bert.errors import UserError
from power_bert.files import INNER_LOCK, is_running

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_SECONDS_BETWEEN_TRIES = 0.5
# Errors of file systems that know no locks.
_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
# What this process holds: a job inside a job does not lock itself out.
_held: set[Path] = set()


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        process: Its id.
        host: Its machine.
        since: Date and time at which it began.
    """

    process: int
    host: str
    since: str

    @property
    def is_gone(self) -> bool:
        """Whether the process has surely ended; of other machines that is not known."""
        return self.host == socket.gethostname() and not is_running(self.process)

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@contextlib.contextmanager
def one_writer(target: str | Path, wait: bool = False) -> Iterator[None]:
    """Let this process alone write a folder or a file inside the block.

    Where the file system knows no locks or is read-only, the block runs without one.

    Args:
        target: What is written; it need not exist.
        wait: Whether to wait for another writer.

    Raises:
        UserError: Another process is writing it; says which. Or writing failed, for example because the disk is full.
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
                # Whoever waits for it notices that its file is gone, and makes another.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                lock.release()


@contextlib.contextmanager
def _parent_of(path: Path) -> Iterator[Path]:
    """Yields the parent folder; it, and the folders over it, go again if they had to be made and stay empty."""
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
    """Takes the lock; returns whether there is one."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = _living_holder(path)
        if not wait:
            raise _in_use(target, holder) from None
        print(f"waiting for {holder or 'another process'}, which is writing {target}", file=sys.stderr, flush=True)
        lock.acquire(poll_interval=_SECONDS_BETWEEN_TRIES)
    except OSError as error:
        # Somebody else's lock file, which this user may not open, says at least whether it is in use.
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
    """Write who holds the lock into its file."""
    note = Holder(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(note)).encode(), 0)


def _living_holder(path: Path) -> Holder | None:
    """Who holds a lock, as its file says; None where that is a process of the past."""
    try:
        values = json.loads(path.read_bytes())
        holder = Holder(int(values["process"]), str(values["host"]), str(values["since"]))
        return None if holder.is_gone else holder
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def writes(
    target: Callable[..., str | Path], wait: bool = False
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function that is to be the one writer of a folder while it runs.

    Args:
        target: Arguments of the function → the folder.
        wait: Whether to wait for another writer.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(function)
        def locked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with one_writer(target(*args, **kwargs), wait):
                return function(*args, **kwargs)

        return locked

    return decorate
