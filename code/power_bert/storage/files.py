"""Reading of lines, and atomic writing: a reader sees the old or the new content, never a mixture.

Content is first written to a temporary sibling, ``.<name>.<process id>.partial``, flushed to disk and then renamed.
Several processes may write the same target (the last one wins), each from one thread at a time. The next write of a
target removes what a killed process left behind.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator, Set
from pathlib import Path
from typing import BinaryIO

from power_bert.errors import UserError

_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_EXPECTED_UTF_8 = "Expected UTF-8 text; convert it (for example with iconv), save it as UTF-8 or download it again."
_PARTIAL = "partial"
_REPLACED = "replaced"
_SCRATCH = "scratch"
_KINDS = (_PARTIAL, _REPLACED, _SCRATCH)
# Used by `power_bert.storage.locks` if the lock has to lie inside the locked folder.
INNER_LOCK = ".power_bert.lock"


def read_lines(path: str | Path) -> list[str]:
    """Read a UTF-8 text file as a list of lines; only LF and CR LF end a line, not U+0085, U+2028 and others.

    A byte order mark and empty lines at the end are dropped, so entry ``i`` is line ``i + 1`` of the file.

    Args:
        path: Path of the file.

    Returns:
        The lines without line ends; at least one.

    Raises:
        UserError: The file is missing, unreadable, empty or not UTF-8.
    """
    return [line for chunk in read_line_chunks(path) for line in chunk]


def read_line_chunks(
    path: str | Path, lines_per_chunk: int = 8192, keep_empty_end: bool = False
) -> Iterator[list[str]]:
    """Read a text file like `read_lines`, in chunks of bounded size.

    Args:
        path: Path of the file.
        lines_per_chunk: Usual number of lines per chunk.
        keep_empty_end: Whether to keep empty lines at the end.

    Yields:
        One or more consecutive lines.
    """
    line_number, empty_lines = 1, 0
    for raw in _raw_line_chunks(path, lines_per_chunk):
        data = b"".join(raw)
        lines = decode_lines(path, data, line_number).removesuffix("\n").split("\n")
        if b"\r" in data:
            lines = [line.removesuffix("\r") for line in lines]
        line_number += len(lines)
        # Empty lines wait for the next non-empty one. Those at the end are dropped, or come last.
        lines = [""] * empty_lines + lines
        filled = next((index for index in range(len(lines), 0, -1) if lines[index - 1]), 0)
        empty_lines = len(lines) - filled
        if filled:
            yield lines[:filled]
    if line_number - 1 == empty_lines:
        raise UserError(f"{path}: the file is empty. Expected at least one line; restore it or download it again.")
    if keep_empty_end and empty_lines:
        yield [""] * empty_lines


def check_first_line(source: str | Path, line: str) -> None:
    """Check the first line of a text for zero bytes and for line ends other than LF.

    Args:
        source: Name of the source for the message.
        line: Text before the first LF or CR LF.

    Raises:
        UserError: The line holds zero bytes, or a CR without LF.
    """
    if "\x00" in line:
        raise UserError(f"{source}, line 1: holds zero bytes, so it is UTF-16 or binary. {_EXPECTED_UTF_8}")
    if "\r" in line:
        raise UserError(
            f"{source}, line 1: holds carriage returns (CR) without a line feed (LF): the line ends are CR alone. "
            "Convert them to LF, for example with tr '\\r' '\\n'."
        )


def _raw_line_chunks(path: str | Path, lines_per_chunk: int) -> Iterator[list[bytes]]:
    try:
        with open(path, "rb") as file:
            while lines := list(itertools.islice(file, lines_per_chunk)):
                yield lines
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}). Expected a text file; check the path and its permissions."
        ) from error


def decode_lines(source: str | Path, data: bytes, first_line: int) -> str:
    """Decode lines of a UTF-8 text; a byte order mark at its beginning is dropped.

    Args:
        source: Name of the source for the message.
        data: One or more lines.
        first_line: Number of the first line, from 1.

    Raises:
        UserError: The lines are not UTF-8; the message names the line.
    """
    if first_line == 1 and data.startswith(_UTF_16_MARKS):
        raise UserError(f"{source}: begins with the byte order mark of UTF-16. {_EXPECTED_UTF_8}")
    try:
        return data.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line = first_line + error.object.count(b"\n", 0, error.start)
        raise UserError(
            f"{source}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8. {_EXPECTED_UTF_8}"
        ) from error


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, with its line ends, like `atomic_write_bytes`."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file so that it exists either completely or not at all.

    Missing parent folders are created; a symbolic link is followed.

    Args:
        path: Path of the file to write or replace.
        data: Content of the file.

    Raises:
        OSError: The file cannot be written; an older file is left untouched.
    """
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary file that is written like in `atomic_write_bytes`, for content too large to hold twice."""
    target, partial = _prepare(path)
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        _remove(partial)
        raise
    _sync(target.parent)


@contextlib.contextmanager
def atomic_directory(target: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `target` when the block ends without an exception.

    An older folder is replaced as a whole; after an exception it is left untouched. Python has no system call that
    replaces a non-empty folder in one step, so the target is absent between two renames. If the process is killed
    there, the next call with this target first restores the older folder.

    Args:
        target: Folder to create or replace.

    Yields:
        The temporary folder, a sibling of `target`.

    Raises:
        NotADirectoryError: `target` is a file.
        OSError: The folder cannot be written.
    """
    final, partial = _prepare(target)
    if final.exists() and not final.is_dir():
        raise NotADirectoryError(f"{final} is a file; expected a folder or nothing there")
    partial.mkdir()
    try:
        yield partial
        _sync_tree(partial)
        _move_into_place(partial, final)
    except BaseException:
        _remove(partial)
        raise
    _sync(final.parent)


@contextlib.contextmanager
def scratch_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside a file that `atomic_file` is writing; it is removed at the end of the block.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = _sibling(Path(os.path.realpath(path)), _SCRATCH)
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def _move_into_place(partial: Path, final: Path) -> None:
    if not final.exists():
        os.rename(partial, final)
        return
    replaced = _sibling(final, _REPLACED)
    os.rename(final, replaced)
    try:
        os.rename(partial, final)
    except BaseException:
        os.rename(replaced, final)
        raise
    _remove(replaced)


def _prepare(path: str | Path) -> tuple[Path, Path]:
    """Create the parent folder and clear leftovers; return the real target and the path of the temporary sibling."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    return target, _sibling(target, _PARTIAL)


def _sibling(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{kind}")


def _clear_leftovers(target: Path) -> None:
    """Remove temporaries of `target` whose process has ended; a folder that was being replaced is restored first."""
    prefix = f".{target.name}."
    for entry in sorted(target.parent.iterdir()):
        owner, _, kind = entry.name.removeprefix(prefix).partition(".")
        if not entry.name.startswith(prefix) or not owner.isdecimal() or kind not in _KINDS:
            continue
        # Temporaries with this process's own id are leftovers of an earlier process that had the same id.
        if int(owner) != os.getpid() and is_running(int(owner)):
            continue
        if kind == _REPLACED and not target.exists():
            os.rename(entry, target)
        else:
            _remove(entry)


def foreign_files(folder: Path, own: Set[str]) -> list[str]:
    """Return the names in a folder other than `own`; if there are any, it must not be replaced as a whole.

    Raises:
        UserError: The path is a file.
    """
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file. Expected a folder or nothing there; move it away.")
    return sorted({path.name for path in folder.iterdir()} - own - {INNER_LOCK})


def is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing but the lock of the process that is about to write it."""
    return all(path.name == INNER_LOCK for path in folder.iterdir())


def is_running(process_id: int) -> bool:
    """Return whether a process of this machine is alive."""
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(Path(root, name))
        _sync(Path(root))
