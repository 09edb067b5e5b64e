"""Tests of power_bert.storage.archives: whole archives are read, damaged and harmful ones are named."""

import contextlib
import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given

from mutations import mutated, mutation_settings
from power_bert.errors import UserError
from power_bert.storage import archives
from power_bert.storage.archives import CheckedGzip, open_zip, read_tar_gz

MEMBERS = {"data/a.tsv": b"one\ttwo\n" * 40, "data/b.tsv": b"three\n", "notes.txt": bytes(range(256))}
MEGABYTE = 2**20


def make_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def make_tar(members: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def unzip(path: Path) -> dict[str, bytes]:
    found = {}
    with open_zip(path) as archive:
        archive.check_places()
        for name in archive.counts:
            with archive.open(name) as file:
                found[name] = file.read()
    return found


def untar(path: Path, max_member_bytes: int = MEGABYTE) -> dict[str, bytes]:
    return dict(read_tar_gz(path, lambda name: True, max_member_bytes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Fails where the block holds more than 8 MB at once."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGABYTE


@pytest.fixture
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may always unpack to 1 MB, not 64 MB as outside of tests."""
    monkeypatch.setattr(archives, "_SMALL_BYTES", MEGABYTE)


class TestZip:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_a_whole_archive(self, method: int, path: Path) -> None:
        path.write_bytes(make_zip(MEMBERS, method))
        assert unzip(path) == MEMBERS

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_methods_that_unpack_without_bound(self, method: int, path: Path) -> None:
        path.write_bytes(make_zip(MEMBERS, method))
        with pytest.raises(UserError, match=rf"archive, data/a\.tsv: is packed by method {method}; expected stored or"):
            unzip(path)

    def test_an_unknown_method(self, path: Path) -> None:
        path.write_bytes(_with_central_field(make_zip(MEMBERS), 10, struct.pack("<H", 99)))
        with pytest.raises(UserError, match=r"archive, data/a\.tsv: is packed by method 99"):
            unzip(path)

    def test_an_encrypted_member(self, path: Path) -> None:
        path.write_bytes(_with_central_field(make_zip(MEMBERS), 8, b"\x01\x00"))
        with pytest.raises(
            UserError, match=r"archive, data/a\.tsv: is encrypted; expected a zip archive without a pass"
        ):
            unzip(path)

    def test_a_link(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            entry = zipfile.ZipInfo("data/a.tsv")
            entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
        with pytest.raises(UserError, match=r"archive, data/a\.tsv: is a link; expected a file"):
            unzip(path)

    @pytest.mark.parametrize("name", ["../evil", "data/../../evil", "/evil", "..\\evil"])
    def test_a_place_outside(self, name: str, path: Path) -> None:
        path.write_bytes(make_zip({name: b"x"}))
        with pytest.raises(UserError, match=r"evil.*which lies outside of the archive"):
            unzip(path)

    @pytest.mark.usefixtures("small_bound")
    def test_a_bomb(self, path: Path) -> None:
        path.write_bytes(make_zip({"data/a.tsv": bytes(30 * MEGABYTE)}))
        with (
            little_memory(),
            pytest.raises(UserError, match=r"data/a\.tsv: unpacks to 31,457,280 bytes, which is more than any table"),
        ):
            unzip(path)

    @pytest.mark.usefixtures("small_bound")
    def test_many_members_that_together_are_a_bomb(self, path: Path) -> None:
        path.write_bytes(make_zip({f"data/{number}": bytes(MEGABYTE) for number in range(4)}))
        with pytest.raises(UserError, match=r"data/1: unpacks to 1,048,576 bytes"):
            unzip(path)

    def test_a_member_that_is_longer_than_it_says(self, path: Path) -> None:
        path.write_bytes(_with_central_field(make_zip(MEMBERS), 24, struct.pack("<I", 7)))
        with pytest.raises(UserError, match=r"data/a\.tsv: damaged, or not a whole member of a zip archive"):
            unzip(path)

    def test_no_such_member(self, path: Path) -> None:
        path.write_bytes(make_zip(MEMBERS))
        with open_zip(path) as archive, pytest.raises(UserError, match="absent: damaged"), archive.open("absent"):
            pass

    def test_mutations(self, path: Path) -> None:
        @mutation_settings
        @given(mutated(make_zip(MEMBERS)))
        def check(data: bytes) -> None:
            path.write_bytes(data)
            try:
                found = unzip(path)
            except UserError as error:
                assert str(path) in str(error) and len(str(error)) < 600
            else:
                # Names have no checksum, and members can be lost with their entries; contents are right or refused.
                assert set(found.values()) <= {*MEMBERS.values(), b""}

        check()


def _with_central_field(data: bytes, offset: int, value: bytes) -> bytes:
    """The archive with another field in the first entry of its directory."""
    place = data.index(b"PK\x01\x02") + offset
    return data[:place] + value + data[place + len(value) :]


class TestTarGz:
    def test_a_whole_archive(self, path: Path) -> None:
        path.write_bytes(gzip.compress(make_tar(MEMBERS)))
        assert untar(path) == MEMBERS
        assert dict(read_tar_gz(path, lambda name: name == "data/b.tsv", 10)) == {"data/b.tsv": b"three\n"}

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
    def test_only_files_are_read(self, kind: bytes, path: Path) -> None:
        def change(info: tarfile.TarInfo) -> None:
            if info.name == "data/b.tsv":
                info.type, info.linkname, info.size = kind, "/etc/passwd", 0

        path.write_bytes(gzip.compress(make_tar(MEMBERS, change)))
        assert set(untar(path)) == set(MEMBERS) - {"data/b.tsv"}

    def test_every_cut_is_noticed(self, path: Path) -> None:
        data = gzip.compress(make_tar(MEMBERS))
        for length in range(0, len(data), 7):
            path.write_bytes(data[:length])
            with pytest.raises(UserError, match=r"archive: damaged, or not a whole tar\.gz archive"):
                untar(path)

    def test_a_flipped_bit_changes_no_content_unnoticed(self, path: Path) -> None:
        data = gzip.compress(make_tar(MEMBERS), mtime=0)
        noticed = 0
        for place in range(0, len(data), 5):
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            try:
                assert untar(path) == MEMBERS
            except UserError:
                noticed += 1
        assert noticed > 0.9 * len(data) / 5  # the rest are bits that have no meaning, such as the date

    @pytest.mark.parametrize("damage", ["zeros", "garbage", "cut between members", "no end"])
    def test_a_damaged_tar_in_a_whole_gzip(self, damage: str, path: Path) -> None:
        tar = make_tar({"a": b"x" * 512, "b": b"y" * 512, "c": b"z"})
        second = 1024
        path.write_bytes(
            gzip.compress(
                {
                    "zeros": tar[:second] + bytes(64) + tar[second + 64 :],
                    "garbage": tar[:second] + b"?" * 512 + tar[second + 512 :],
                    "cut between members": tar[:second],
                    "no end": tar[: 3 * second],
                }[damage]
            )
        )
        with pytest.raises(UserError, match=r"archive: damaged, or not a whole tar\.gz archive"):
            untar(path)

    @pytest.mark.usefixtures("small_bound")
    @pytest.mark.parametrize("size", [2 * MEGABYTE, 2**40, 2**62])
    def test_a_member_that_declares_too_much(self, size: int, path: Path) -> None:
        info = tarfile.TarInfo("data/a.tsv")
        info.size = size
        path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(20480)))
        with little_memory(), pytest.raises(UserError, match=rf"data/a\.tsv: declares {size:,} bytes, which cannot be"):
            untar(path)

    def test_a_negative_size_does_not_loop(self, path: Path) -> None:
        header = bytearray(tarfile.TarInfo("data/a.tsv").tobuf(tarfile.GNU_FORMAT))
        header[124:136] = b"\xff" * 10 + struct.pack(">h", -1024)
        header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
        path.write_bytes(gzip.compress(bytes(header) + bytes(20480)))
        with pytest.raises(UserError, match="declares -1,024 bytes"):
            untar(path)

    @pytest.mark.usefixtures("small_bound")
    def test_a_bomb(self, path: Path) -> None:
        path.write_bytes(gzip.compress(make_tar({"big": bytes(30 * MEGABYTE)})))
        with little_memory(), pytest.raises(UserError, match=r"unpacks to more than [\d,]+ bytes, which no text does"):
            dict(read_tar_gz(path, lambda name: False, 10))

    @pytest.mark.usefixtures("small_bound")
    def test_a_huge_header_of_names(self, path: Path) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
        path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(20480)))
        with little_memory(), pytest.raises(UserError, match="archive: "):
            untar(path)

    @pytest.mark.parametrize("place", ["gzip", "tar"])
    def test_mutations(self, place: str, path: Path) -> None:
        tar = make_tar(MEMBERS)

        @mutation_settings
        @given(mutated(gzip.compress(tar, mtime=0) if place == "gzip" else tar))
        def check(data: bytes) -> None:
            path.write_bytes(data if place == "gzip" else gzip.compress(data, 1))
            try:
                found = untar(path)
            except UserError as error:
                assert str(path) in str(error) and len(str(error)) < 600
            else:
                assert place == "tar" or found == MEMBERS  # inside the checksum the content is what it is

        check()


class TestGzip:
    def test_lines(self, path: Path) -> None:
        path.write_bytes(gzip.compress(b"one\ntwo\nthree"))
        with CheckedGzip(path) as file:
            assert [file.readline(), *iter(file.readline, b"")] == [b"one\n", b"two\n", b"three"]

    @pytest.mark.usefixtures("small_bound")
    def test_a_bomb_of_lines(self, path: Path) -> None:
        path.write_bytes(gzip.compress(b"word\n" * 2**18))
        read = 0
        with CheckedGzip(path) as file, pytest.raises(UserError, match="unpacks to more than"):
            while line := file.readline():
                read += len(line)
        assert read < 200 * path.stat().st_size + MEGABYTE

    def test_a_read_is_bounded(self, path: Path) -> None:
        path.write_bytes(gzip.compress(b"word\n" * 100))
        with CheckedGzip(path, max_bytes=500) as file:
            assert len(file.read()) == 500
        with CheckedGzip(path, max_bytes=499) as file, pytest.raises(UserError, match="more than 499 bytes"):
            file.read()
