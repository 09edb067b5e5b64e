"""Child processes that end with their parent: runs of this program, and functions in fresh Python processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from power_bert.errors import UserError
from power_bert.folders import PROGRAM

_STDERR_LINES_KEPT = 20


@dataclass(frozen=True)
class ChildProcess:
    """A child process of this Python process.

    Attributes:
        process: The process.
        connection: End of the pipe to the child process.
    """

    process: BaseProcess
    connection: Connection


def start_child(function: Callable[..., None], *arguments: Any) -> ChildProcess:
    """Call `function(*arguments, connection)` in a fresh Python process, which ends when this one ends or is killed.

    The process is spawned, not forked: the threads of TensorFlow and of the tokenizer would not survive a fork.

    Args:
        function: Function of a module, which the child imports.
        arguments: Arguments of the function, which are pickled.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_call, args=(function, arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    return ChildProcess(process, ours)


def _call(function: Callable[..., None], arguments: Sequence[Any], connection: Connection) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches this process, too; only the parent reports it
    function(*arguments, connection)


def end_with_parent() -> None:
    """End this process, a child of `multiprocessing`, when its parent is killed; otherwise it would wait forever."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_as_process(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run this program; its output is shown as it comes.

    Args:
        arguments: Command and options.
        environment: All environment variables of the process.

    Returns:
        Exit status (negative: the signal that ended it) and the last lines that it wrote to stderr.
    """
    command = [sys.executable, "-P", *PROGRAM, *arguments]
    last: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
    with subprocess.Popen(
        command, env=dict(environment), stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=_end_with_parent
    ) as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            last.append(line)
    return process.returncode, "".join(last)


def _end_with_parent() -> None:
    """Ask Linux to kill this process, which has no Python of ours yet, with its parent; other systems cannot."""
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


def run_in_child(function: Callable[..., None], arguments: Sequence[Any], environment: Mapping[str, str]) -> None:
    """Call `function(*arguments)` in a fresh Python process and wait for its end.

    Unlike `start_child` this does not import the main script again, which in a user's script would run it again.

    Args:
        function: Function of a module, which the child imports.
        arguments: Arguments of the function, which are pickled.
        environment: All environment variables of the process.

    Raises:
        UserError: The function raised it, or the process ended before the function returned.
    """
    result = subprocess.run(
        [sys.executable, "-P", "-c", f"from {__name__} import {_call_from_stdin.__name__} as call; call()"],
        input=pickle.dumps((function, arguments)),
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        check=False,
    )
    stderr = result.stderr.decode(errors="replace")
    if result.returncode:
        raise UserError(explain_failure(result.returncode, stderr))
    sys.stderr.write(stderr)


def _call_from_stdin() -> None:
    _end_with_parent()
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def explain_failure(status: int, stderr: str) -> str:
    """Return the error that a run of this program named, or else what is known of its end.

    Args:
        status: Exit status, as returned by `run_as_process`.
        stderr: The end of what it wrote to stderr.
    """
    _, named, error = f"\n{stderr}".rpartition("\nerror: ")
    if named:
        return error.strip()
    if status < 0:
        cause = ", probably for lack of memory" if -status == signal.SIGKILL else ""
        return f"ended by {signal.Signals(-status).name}{cause}; see the log of the run"
    return stderr.strip() or f"ended with status {status}; see the log of the run"
