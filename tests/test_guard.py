"""The last guard of the command line: one line and an exit status, whatever happens."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.guard import run_guarded

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "code"), "PYTHONUNBUFFERED": ""}


def fail_with(error: BaseException) -> Callable[[], None]:
    def program() -> None:
        raise error

    return program


def ended(program: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end:
        run_guarded(program)
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("x.tsv: no such file"), "error: x.tsv: no such file"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: the disk is full. What is finished is kept: free"),
        (OSError(errno.EDQUOT, "x", "/"), r"error: /: the disk is full \(\d+ MB free\)\. What is finished is kept"),
        (RuntimeError("Write failed: No space left on device"), "error: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "error: /a: cannot be .* choose another folder"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "/b"), "error: /b: Too many levels of symbolic"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/c"), "error: /c: File name too long"),
        (MemoryError(), "error: out of memory"),
    ],
)
def test_what_the_user_can_mend(error: Exception, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = ended(fail_with(error), capsys)
    assert status == 2
    assert re.match(expected, shown) and shown.count("\n") == 1


def test_anything_else_leaves_its_traceback_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, shown = ended(fail_with(KeyError("x" * 10_000)), capsys)
    (kept,) = tmp_path.iterdir()
    assert status == 1 and shown.count("\n") == 1 and len(shown) < 600
    assert shown.startswith("error: unexpected KeyError: 'xxx") and f"The traceback is in {kept};" in shown
    assert "Traceback" in kept.read_text(encoding="utf-8") and "fail_with" not in shown


@pytest.mark.parametrize(("code", "status"), [(0, 0), (None, 0), (3, 3), ("no", 1)])
def test_the_exit_status_of_the_program_is_kept(
    code: int | str | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(fail_with(SystemExit(code)), capsys)[0] == status


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_standard_output_that_takes_nothing() -> None:
    source = "from power_bert.guard import run_guarded\nrun_guarded(lambda: print('x' * 100))"
    with open("/dev/full", "wb") as full:
        result = subprocess.run([sys.executable, "-c", source], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert result.returncode == 2
    assert result.stderr.decode().startswith("error: standard output: the disk is full")
    assert result.stderr.count(b"\n") == 1


def test_standard_output_that_is_closed() -> None:
    source = "from power_bert.guard import run_guarded\nrun_guarded(lambda: print('x' * 100))"
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-c", source], stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT)
    os.close(writer)
    assert result.returncode == 2
    assert result.stderr == b"error: standard output was closed before everything was written\n"
