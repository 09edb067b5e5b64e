"""Tests of power_bert.corpus.shards: written whole, found again, and never read damaged."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from power_bert.corpus.shards import Shard, finished_shard, read_shard, remove_other_shards, shard_path, write_shard
from power_bert.errors import UserError

NAME = "train/000000-00000"
RECORDS = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    shard = Shard(NAME, documents=2, records=3, tokens=11, unknown=1, sha256="", text_digest="of the text")
    return write_shard(tmp_path, shard, RECORDS)


def test_what_is_written_is_read(shard: Shard, tmp_path: Path) -> None:
    assert len(shard.sha256) == 64
    records = read_shard(tmp_path, shard, 4)
    assert records.dtype == np.uint16
    np.testing.assert_array_equal(records, RECORDS)


def test_its_note_says_that_it_is_whole(shard: Shard, tmp_path: Path) -> None:
    note = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert note == dataclasses.asdict(shard)
    assert Shard.from_json(note, Path("note")) == shard
    assert finished_shard(tmp_path, NAME, "of the text") == shard


def test_the_side_is_in_the_name(shard: Shard) -> None:
    assert shard.side == "train"
    assert dataclasses.replace(shard, name="test/000000-00000").side == "test"


class TestNotFinished:
    def test_other_text(self, shard: Shard, tmp_path: Path) -> None:
        assert finished_shard(tmp_path, NAME, "of another text") is None

    @pytest.mark.parametrize("ending", ["npy", "json"])
    def test_one_of_the_two_files_is_missing(self, ending: str, shard: Shard, tmp_path: Path) -> None:
        (tmp_path / f"{NAME}.{ending}").unlink()
        assert finished_shard(tmp_path, NAME, "of the text") is None

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": 3}'])
    def test_the_note_is_damaged(self, content: str, shard: Shard, tmp_path: Path) -> None:
        (tmp_path / f"{NAME}.json").write_text(content)
        assert finished_shard(tmp_path, NAME, "of the text") is None

    def test_the_records_are_not_those_of_the_note(self, shard: Shard, tmp_path: Path) -> None:
        shard_path(tmp_path, NAME).write_bytes(b"x")
        assert finished_shard(tmp_path, NAME, "of the text") is None

    def test_a_note_of_another_shard(self, shard: Shard, tmp_path: Path) -> None:
        for ending in ("npy", "json"):
            (tmp_path / f"test/000000-00000.{ending}").write_bytes((tmp_path / f"{NAME}.{ending}").read_bytes())
        assert finished_shard(tmp_path, "test/000000-00000", "of the text") is None


class TestDamage:
    def test_missing(self, shard: Shard, tmp_path: Path) -> None:
        shard_path(tmp_path, NAME).unlink()
        with pytest.raises(UserError, match=r"000000-00000\.npy: the shard cannot be read .*give the prepare-corpus"):
            read_shard(tmp_path, shard, 4)

    def test_altered(self, shard: Shard, tmp_path: Path) -> None:
        content = bytearray(shard_path(tmp_path, NAME).read_bytes())
        content[-1] ^= 1
        shard_path(tmp_path, NAME).write_bytes(bytes(content))
        with pytest.raises(UserError, match="the shard is corrupt, its sha256 is not the one"):
            read_shard(tmp_path, shard, 4)

    @pytest.mark.parametrize(("records", "length"), [(3, 5), (2, 4)])
    def test_another_shape(self, records: int, length: int, shard: Shard, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=rf"has shape \(3, 4\), manifest\.json says \({records}, {length}\)"):
            read_shard(tmp_path, dataclasses.replace(shard, records=records), length)

    @pytest.mark.parametrize(("name", "value"), [("records", "3"), ("sha256", None), ("name", 1), ("tokens", True)])
    def test_a_bad_entry_of_the_manifest(self, name: str, value: object, shard: Shard) -> None:
        with pytest.raises(UserError, match=rf"manifest\.json: damaged: {name} is .*prepare the corpus anew"):
            Shard.from_json({**dataclasses.asdict(shard), name: value}, Path("manifest.json"))


def test_other_shards_are_removed(shard: Shard, tmp_path: Path) -> None:
    older = dataclasses.replace(shard, name="test/000007-00000")
    write_shard(tmp_path, older, RECORDS)
    remove_other_shards(tmp_path, [shard])
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["000000-00000.json", "000000-00000.npy"]
    assert finished_shard(tmp_path, NAME, "of the text") == shard
