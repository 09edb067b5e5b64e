"""Tests of power_bert.storage.locks: one process at a time writes a folder."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.storage.files import INNER_LOCK, is_empty
from power_bert.storage.locks import one_writer, writes

# Holds the lock on its argument until its standard input ends.
HOLD = """
import sys
from power_bert.storage.locks import one_writer

with one_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def writer(target: Path, project_root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes the target."""
    environment = {**os.environ, "PYTHONPATH": str(project_root / "code")}
    command = [sys.executable, "-P", "-c", HOLD, str(target)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_holds_it(target: Path, writer: subprocess.Popen[str]) -> None:
    message = rf"{re.escape(str(target))} is in use by process {writer.pid} on {socket.gethostname()}, since \d{{4}}-"
    with pytest.raises(UserError, match=message), one_writer(target):
        raise AssertionError("two writers")


def test_through_a_link_it_is_the_same_folder(target: Path, writer: subprocess.Popen[str], tmp_path: Path) -> None:
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UserError, match=f"process {writer.pid}"), one_writer(tmp_path / "link"):
        raise AssertionError("two writers")


def test_nothing_is_left(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir()] == [".run.lock"], "and no folder"
    writer.communicate()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(
    target: Path, writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert json.loads((tmp_path / ".run.lock").read_bytes())["process"] == writer.pid, "its note is still there"
    with one_writer(target):
        assert json.loads((tmp_path / ".run.lock").read_bytes())["process"] == os.getpid()


@pytest.mark.usefixtures("writer")
def test_a_note_of_a_dead_process_does_not_mislead(target: Path, tmp_path: Path) -> None:
    note = {"process": 2**22 + 1, "host": socket.gethostname(), "since": "2020-01-01"}
    for content in (json.dumps(note), "", "{", "[1]", '{"process": "x"}'):
        (tmp_path / ".run.lock").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="in use by another process"), one_writer(target):
            raise AssertionError("two writers")


def test_waiting(target: Path, writer: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert writer.stdin is not None
    threading.Timer(0.3, writer.stdin.close).start()
    with one_writer(target, wait=True):
        assert writer.wait() == 0
    assert f"waiting for process {writer.pid} on" in capsys.readouterr().err


def test_a_job_inside_a_job(target: Path, tmp_path: Path) -> None:
    with one_writer(target):
        with one_writer(target), one_writer(target / "inner"):
            assert (tmp_path / ".run.lock").exists()
        assert (tmp_path / ".run.lock").exists(), "the outer one still holds it"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_can_be_renamed_and_made_anew(target: Path, tmp_path: Path) -> None:
    target.mkdir()
    with one_writer(target):
        target.rename(tmp_path / "aside")
        target.mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside", "run"]


def test_parents_that_stay_empty_go_again(tmp_path: Path) -> None:
    with one_writer(tmp_path / "new" / "deep" / "run"):
        assert (tmp_path / "new" / "deep").is_dir()
    assert list(tmp_path.iterdir()) == []
    with one_writer(tmp_path / "new" / "deep" / "run"):
        (tmp_path / "new" / "deep" / "run").mkdir()
    assert (tmp_path / "new" / "deep" / "run").is_dir()


def test_where_the_parent_is_not_writable_the_lock_lies_inside(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: path != target.parent)
    with one_writer(target):
        assert [path.name for path in target.iterdir()] == [INNER_LOCK] and is_empty(target)
    assert list(target.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_not_locked(target: Path) -> None:
    target.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with one_writer(target):
        assert not target.exists()


def test_a_file_system_without_locks(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with one_writer(target):
        pass
    assert f"{target}: cannot be locked (Function not implemented)" in capsys.readouterr().err


def test_the_decorator(target: Path, tmp_path: Path) -> None:
    @writes(lambda number, folder, *_, **__: folder)
    def double(number: int, folder: Path, further: bool = False) -> int:
        assert (tmp_path / ".run.lock").exists()
        return 2 * number

    assert (double(2, target), double(3, folder=target, further=True)) == (4, 6)
    assert list(tmp_path.iterdir()) == []
