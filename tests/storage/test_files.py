"""Tests of power_bert.storage.files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.storage.files import (
    atomic_directory,
    atomic_file,
    atomic_write_bytes,
    atomic_write_text,
    read_line_chunks,
    read_lines,
    scratch_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def dead_process_id() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


class TestReadLines:
    def test_only_line_feed_ends_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes("a\u2028b\x85c\x0bd\x0ce\rf\nsecond\r\nthird\r\r".encode())
        assert read_lines(path) == ["a\u2028b\x85c\x0bd\x0ce\rf", "second", "third\r"]

    def test_byte_order_mark_and_empty_lines_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"\xef\xbb\xbfa\n\nb\n\r\n\n")
        assert read_lines(path) == ["a", "", "b"]

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"\r\n"])
    def test_empty(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "file"
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"file: the file is empty\. Expected"):
            read_lines(path)

    @pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
    def test_bad_utf8_names_the_line(self, tmp_path: Path, start: bytes) -> None:
        path = tmp_path / "file"
        path.write_bytes(start + b"a\nb\ncaf\xe9\nd\n")
        with pytest.raises(UserError, match=r"file, line 3: byte 0xe9 is not UTF-8.*iconv"):
            read_lines(path)

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"absent: cannot be read \(No such file"):
            read_lines(tmp_path / "absent")
        with pytest.raises(UserError, match="Is a directory"):
            read_lines(tmp_path)

    @pytest.mark.parametrize("lines_per_chunk", [1, 2, 3, 7])
    @pytest.mark.parametrize("data", [b"\xef\xbb\xbfa\r\n\n\n\r\nb\nc\n\n\n\n", b"\n\na", b"\xef\xbb\xbf\nb", b"a"])
    def test_chunks_are_the_whole(self, tmp_path: Path, data: bytes, lines_per_chunk: int) -> None:
        path = tmp_path / "file"
        path.write_bytes(data)
        chunks = list(read_line_chunks(path, lines_per_chunk))
        assert [line for chunk in chunks for line in chunk] == read_lines(path)
        assert all(chunks)

    @pytest.mark.parametrize("lines_per_chunk", [1, 2, 100])
    def test_a_chunk_knows_its_lines(self, tmp_path: Path, lines_per_chunk: int) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"\xef\xbb\xbfa\n\n\nd\n\ncaf\xe9\n")
        with pytest.raises(UserError, match=r"file, line 6: byte 0xe9"):
            list(read_line_chunks(path, lines_per_chunk))


class TestAtomicWrite:
    def test_writes_and_replaces(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "folder" / "file.txt"
        atomic_write_text(path, "é\r\nx\n")
        assert path.read_bytes() == b"\xc3\xa9\r\nx\n"
        atomic_write_bytes(path, b"\x00")
        assert path.read_bytes() == b"\x00"
        assert names(path.parent) == ["file.txt"]

    def test_failure_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "file"
        atomic_write_text(path, "old")

        def full_disk(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            atomic_write_text(path, "new")
        assert path.read_text() == "old"
        assert names(tmp_path) == ["file"]

    def test_follows_a_symbolic_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to("real")
        atomic_write_text(tmp_path / "link", "new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_text() == "new"

    def test_removes_leftovers_of_dead_processes_only(self, tmp_path: Path, dead_process_id: int) -> None:
        leftover = tmp_path / f".file.{dead_process_id}.partial"
        leftover.write_text("half")
        own = tmp_path / f".file.{os.getpid()}.partial"
        own.write_text("of an earlier process with this id")
        kept = {f".file.{os.getppid()}.partial", f".file.x.{dead_process_id}.partial", ".file.txt", ".file.5.txt"}
        for name in kept:
            (tmp_path / name).write_text("not ours")
        atomic_write_text(tmp_path / "file", "new")
        assert set(names(tmp_path)) == kept | {"file"}

    def test_a_scratch_folder_goes_with_its_block_or_with_the_next_write(
        self, tmp_path: Path, dead_process_id: int
    ) -> None:
        (tmp_path / f".file.{dead_process_id}.scratch").mkdir()
        with atomic_file(tmp_path / "file"), pytest.raises(KeyError), scratch_folder(tmp_path / "file") as folder:
            (folder / "part").write_text("1")
            assert len(names(tmp_path)) == 2 and folder.parent == tmp_path
            raise KeyError
        assert names(tmp_path) == ["file"]


class TestAtomicDirectory:
    def test_makes_and_replaces_as_a_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "parent" / "model"
        with atomic_directory(target) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "a").write_text("1")
            assert folder.parent == target.parent
            assert not target.exists()
        with atomic_directory(target) as folder:
            (folder / "b").write_text("2")
            assert names(target) == ["sub"]
        assert names(target) == ["b"]
        assert names(target.parent) == ["model"]

    def test_exception_leaves_the_old_folder(self, tmp_path: Path) -> None:
        target = tmp_path / "model"
        with atomic_directory(target) as folder:
            (folder / "a").write_text("old")

        def write_and_stop() -> None:
            with atomic_directory(target) as folder:
                (folder / "a").write_text("new")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_and_stop()
        assert (target / "a").read_text() == "old"
        assert names(tmp_path) == ["model"]

    def test_killed_process_leaves_nothing_after_the_next_write(self, tmp_path: Path) -> None:
        script = (
            "import os, signal, sys; from power_bert.storage.files import atomic_directory\n"
            "with atomic_directory(sys.argv[1]) as folder:\n"
            "    (folder / 'a').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        source = Path(__file__).parents[2] / "code"
        environment = {**os.environ, "PYTHONPATH": str(source)}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "model")], env=environment, check=False)
        assert not (tmp_path / "model").exists()
        assert len(names(tmp_path)) == 1
        with atomic_directory(tmp_path / "model"):
            pass
        assert names(tmp_path) == ["model"]

    def test_killed_between_the_renames(self, tmp_path: Path, dead_process_id: int) -> None:
        replaced = tmp_path / f".model.{dead_process_id}.replaced"
        replaced.mkdir()
        (replaced / "a").write_text("old")
        with pytest.raises(ValueError, match="stop"), atomic_directory(tmp_path / "model"):
            raise ValueError("stop")
        assert (tmp_path / "model" / "a").read_text() == "old"
        assert names(tmp_path) == ["model"]

    def test_failed_rename_puts_the_old_folder_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = tmp_path / "model"
        with atomic_directory(target) as folder:
            (folder / "a").write_text("old")
        rename = os.rename

        def fail_for_partial(source: Path, destination: Path) -> None:
            if source.name.endswith(".partial"):
                raise OSError("refused")
            rename(source, destination)

        monkeypatch.setattr(os, "rename", fail_for_partial)
        with pytest.raises(OSError, match="refused"), atomic_directory(target):
            pass
        assert (target / "a").read_text() == "old"
        assert names(tmp_path) == ["model"]

    def test_target_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(NotADirectoryError, match="is a file"), atomic_directory(tmp_path / "file"):
            pass
        assert names(tmp_path) == ["file"]
