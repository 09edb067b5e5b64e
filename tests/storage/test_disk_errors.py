"""Tests of power_bert.storage.disk_errors: what an error of the operating system means to the user."""

import errno
import os
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.storage.disk_errors import disk_errors_explained, explain_disk_error, is_disk_full


def error_of(number: int, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk(number: int, tmp_path: Path) -> None:
    assert is_disk_full(error_of(number))
    message = explain_disk_error(error_of(number), tmp_path / "run" / "not" / "there")
    assert message.startswith(f"{tmp_path / 'run' / 'not' / 'there'}: the disk is full (")
    assert "MB free). What is finished is kept: free some space and give the same command again." in message


def test_a_library_that_quotes_the_system() -> None:
    error = RuntimeError(f"HDF5: write failed, errno = 28, error message = '{os.strerror(errno.ENOSPC)}'")
    assert is_disk_full(error)
    assert explain_disk_error(error) == (
        "the disk is full. What is finished is kept: free some space and give the same command again."
    )
    assert not is_disk_full(RuntimeError("something else"))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_cannot_be_written(number: int) -> None:
    message = explain_disk_error(error_of(number, "/data/run"))
    assert message == (
        f"/data/run: cannot be written or read ({os.strerror(number)}); choose another folder, or change its "
        "permissions"
    )


def test_another_error_keeps_its_reason() -> None:
    message = explain_disk_error(error_of(errno.EIO), "/data/run")
    assert message.startswith(f"/data/run: {os.strerror(errno.EIO)}. What is finished is kept")
    assert explain_disk_error(error_of(errno.EIO)).startswith(os.strerror(errno.EIO))


def test_the_path_of_the_error_may_be_bytes() -> None:
    error = error_of(errno.EIO)
    error.filename = "/data/é".encode()
    assert explain_disk_error(error).startswith("/data/é: ")


class TestExplained:
    @pytest.mark.parametrize(
        ("error", "named"),
        [
            (error_of(errno.ENOSPC, "/elsewhere/file"), "folder"),
            (error_of(errno.EIO), "folder"),
            (error_of(errno.EIO, "/elsewhere/file"), "/elsewhere/file"),
            (RuntimeError(f"write failed: {os.strerror(errno.ENOSPC)}"), "folder"),
        ],
    )
    def test_errors_about_writing_become_user_errors(self, error: Exception, named: str, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        with pytest.raises(UserError) as raised, disk_errors_explained(folder):
            raise error
        assert str(raised.value).startswith(f"{folder if named == 'folder' else named}: ")

    def test_others_pass(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="mine"), disk_errors_explained(tmp_path):
            raise ValueError("mine")
        with pytest.raises(KeyboardInterrupt), disk_errors_explained(tmp_path):
            raise KeyboardInterrupt

    def test_nothing_happens_where_all_is_well(self, tmp_path: Path) -> None:
        with disk_errors_explained(tmp_path):
            (tmp_path / "file").write_text("x")
        assert (tmp_path / "file").read_text() == "x"
