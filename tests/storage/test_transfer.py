"""Tests of power_bert.storage.transfer against a server on this machine."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from power_bert.storage.transfer import PublishedFile, TransferError, fetch_file

if TYPE_CHECKING:
    from fixtures.file_server import FileServer

CONTENT = bytes(range(256)) * 40
PUBLISHED = PublishedFile((), len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def fetch(server: "FileServer", target: Path) -> list[tuple[int, int | None]]:
    seen: list[tuple[int, int | None]] = []
    fetch_file(f"{server.url}/file.zip", target, PUBLISHED, lambda done, total: seen.append((done, total)))
    return seen


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.zip"


def part_of(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True)
    target.with_name("file.zip.part").write_bytes(content)


def test_a_file(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    seen = fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.zip"]
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))


def test_an_interrupted_download_goes_on(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    part_of(target, CONTENT[:1000])
    seen = fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [("file.zip", "bytes=1000-")]
    assert seen[0] == (1000, len(CONTENT))


def test_a_broken_connection_is_taken_up(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    server.break_after = 3000
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=3000-", "bytes=6000-", "bytes=9000-"]


def test_a_server_without_ranges_sends_it_anew(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    server.with_ranges = False
    part_of(target, b"x" * 1000)
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_whole_part_is_taken_as_it_is(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    part_of(target, CONTENT)
    fetch(server, target)
    assert target.read_bytes() == CONTENT and len(server.asked) == 1


def test_a_part_longer_than_the_file_is_of_another_one(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    part_of(target, CONTENT + b"more")
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_what_came_is_kept_when_the_connection_breaks_for_good(server: "FileServer", target: Path) -> None:
    server.files["file.zip"] = CONTENT
    part_of(target, CONTENT[:500])
    server.break_after = 0
    with pytest.raises(TransferError, match=r"file\.zip: the connection breaks again and again; the next call goes on"):
        fetch(server, target)
    assert [path.name for path in target.parent.iterdir()] == ["file.zip.part"]
    server.break_after = None
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_no_such_file(server: "FileServer", target: Path) -> None:
    with pytest.raises(TransferError, match=r"/file\.zip: the server answers 404"):
        fetch(server, target)


def test_no_such_server(target: Path) -> None:
    with pytest.raises(TransferError, match=r"http://127\.0\.0\.1:9/file\.zip: cannot be fetched \(.*refused"):
        fetch_file("http://127.0.0.1:9/file.zip", target, PUBLISHED, lambda done, total: None)
    assert not target.exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "mirror/file.zip", "http:/x", "http://[/x"])
def test_no_address(url: str, target: Path) -> None:
    with pytest.raises(TransferError, match="cannot be fetched"):
        fetch_file(url, target, PUBLISHED, lambda done, total: None)
    assert not target.exists()


class TestVersions:
    @pytest.mark.parametrize("length", [1000, len(CONTENT) - 1, len(CONTENT)])
    def test_a_part_of_another_version_is_fetched_anew(self, length: int, server: "FileServer", target: Path) -> None:
        server.files["file.zip"] = CONTENT
        part_of(target, (b"older" * length)[:length])
        fetch(server, target)
        assert target.read_bytes() == CONTENT
        assert [path.name for path in target.parent.iterdir()] == ["file.zip"]
        assert [wanted for _, wanted in server.asked] == [f"bytes={length}-", None]

    def test_another_version_on_the_server_is_set_aside(self, server: "FileServer", target: Path) -> None:
        newer = CONTENT[:-1] + b"!"
        server.files["file.zip"] = newer
        digest = hashlib.sha256(newer).hexdigest()
        message = rf"file\.zip: not the published file\.zip \(its sha256 is {digest}, expected {PUBLISHED.sha256}\)"
        for _ in range(2):
            with pytest.raises(TransferError, match=message):
                fetch(server, target)
            (aside,) = target.parent.iterdir()
            assert aside.name == f"file.zip.refused-{digest[:8]}" and aside.read_bytes() == newer
        server.files["file.zip"] = CONTENT
        fetch(server, target)
        assert target.read_bytes() == CONTENT

    def test_a_part_and_a_server_of_other_versions(self, server: "FileServer", target: Path) -> None:
        server.files["file.zip"] = b"x" * 9000
        part_of(target, b"y" * 500)
        with pytest.raises(TransferError, match="not the published"):
            fetch(server, target)
        assert len(server.asked) == 2


class TestSize:
    def test_more_than_the_published_file_is_not_fetched(self, server: "FileServer", target: Path) -> None:
        server.files["file.zip"] = CONTENT * 100
        message = rf"sends {len(CONTENT) * 100:,} bytes; the published file has at most {len(CONTENT):,}"
        with pytest.raises(TransferError, match=message):
            fetch(server, target)
        assert target.with_name("file.zip.part").stat().st_size == 0

    def test_a_server_that_does_not_say_how_much(self, server: "FileServer", target: Path) -> None:
        server.files["file.zip"], server.says_length = CONTENT * 1000, False
        with pytest.raises(TransferError, match=r"sends [\d,]+ bytes; the published file has at most"):
            fetch(server, target)
        assert target.with_name("file.zip.part").stat().st_size < 10**6
        server.files["file.zip"] = CONTENT
        fetch(server, target)
        assert target.read_bytes() == CONTENT
