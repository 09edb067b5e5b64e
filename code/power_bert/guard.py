"""Outermost error handling of the command line: every failure ends in one line and an exit status."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable

from power_bert.errors import UserError, shorten
from power_bert.program_name import as_typed
from power_bert.storage.disk_errors import explain_disk_error, is_disk_full

_USER_ERROR, _UNEXPECTED, _INTERRUPTED = 2, 1, 130


def run_guarded(program: Callable[[], None]) -> None:
    """Run the program and end the process.

    The exit status is that of the program. It is 2 after an error that the user can fix (a `UserError` or an error of
    the operating system), and 1 after an unexpected error, whose traceback is kept in a file that the message names.

    Raises:
        SystemExit: Always.
    """
    try:
        status = _status_of(program)
    except UserError as error:
        status = _say(str(error), _USER_ERROR)
    except MemoryError:
        status = _say("out of memory. What is finished is kept; try a smaller batch size or length", _USER_ERROR)
    except BrokenPipeError:
        _give_up_standard_output()
        status = _say("standard output was closed before everything was written", _USER_ERROR)
    except Exception as error:
        if isinstance(error, OSError) or is_disk_full(error):
            status = _say(explain_disk_error(error), _USER_ERROR)
        else:
            status = _say(_unexpected(error), _UNEXPECTED)
    sys.exit(status)


def _status_of(program: Callable[[], None]) -> int:
    try:
        program()
        status = 0
    except SystemExit as end:
        # The command-line library turns a closed pipe into exit status 1.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        if status == _INTERRUPTED:  # the library has caught Ctrl-C
            print("stopped; what is finished is kept, and the same command goes on from there", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError as error:
        _give_up_standard_output()
        if error.errno == errno.EPIPE:
            raise
        raise OSError(error.errno, error.strerror, "standard output") from None
    return status


def _give_up_standard_output() -> None:
    """Discard what is still in the buffer; otherwise Python would try to write it at exit, and complain."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _say(message: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print(f"error: {as_typed(message)}", file=sys.stderr)
    return status


def _unexpected(error: Exception) -> str:
    what = f"unexpected {type(error).__name__}: {shorten(error)}"
    name = f"power-bert-error-{time.strftime('%Y%m%d-%H%M%S')}-"
    try:
        descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{sys.argv!r}\n")
            traceback.print_exception(error, file=file)
    except OSError:
        traceback.print_exception(error, file=sys.stderr)
        return f"{what}. What is finished is kept. Please report this with the lines above"
    return f"{what}. What is finished is kept. The traceback is in {path}; please report it with that file"
