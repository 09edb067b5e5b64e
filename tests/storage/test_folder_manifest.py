"""Tests of power_bert.storage.folder_manifest: damage of a folder is found and named."""

import json
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.storage import folder_manifest
from power_bert.storage.folder_manifest import MANIFEST_FILE, check_folder, folder_faults, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one in a folder below, a card and a hidden file; with a manifest."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "assets" / "weights.bin").write_bytes(bytes(2000))
    (tmp_path / "README.md").write_text("# card")
    (tmp_path / ".DS_Store").write_text("x")
    write_manifest(tmp_path)
    return tmp_path


def test_it_lists_what_is_not_a_card_or_hidden(folder: Path) -> None:
    files = json.loads((folder / MANIFEST_FILE).read_text())["files"]
    assert {name: entry["bytes"] for name, entry in files.items()} == {"assets/weights.bin": 2000, "config.json": 2}
    assert files["config.json"]["sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_a_whole_folder_has_no_faults(folder: Path) -> None:
    check_folder(folder)
    assert list(folder_faults(folder, hash_all=True)) == []
    write_manifest(folder)  # does not list itself
    check_folder(folder)


def test_cards_and_further_files_may_change(folder: Path) -> None:
    (folder / "README.md").write_text("# other")
    (folder / "new.txt").write_text("x")
    check_folder(folder)


def test_a_folder_without_a_manifest_is_read_as_it_is(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()
    (folder / "config.json").unlink()
    check_folder(folder)


def test_every_fault_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("[]")
    (folder / "assets" / "weights.bin").unlink()
    missing, altered = folder_faults(folder, hash_all=False)
    assert missing.startswith(f"{folder / 'assets' / 'weights.bin'}: missing, although {MANIFEST_FILE} names it")
    assert altered.startswith(f"{folder / 'config.json'}: altered since it was written")
    with pytest.raises(UserError, match=r"weights\.bin: missing"):
        check_folder(folder)


def test_a_cut_file(folder: Path) -> None:
    (folder / "assets" / "weights.bin").write_bytes(bytes(1999))
    with pytest.raises(UserError, match=r"weights\.bin: 1999 bytes, but 2000 were written: truncated or altered"):
        check_folder(folder)


def test_a_large_file_is_hashed_on_request_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_manifest, "_LARGEST_ALWAYS_HASHED", 1000)
    (folder / "assets" / "weights.bin").write_bytes(b"x" * 2000)
    assert list(folder_faults(folder, hash_all=False)) == []
    (fault,) = folder_faults(folder, hash_all=True)
    assert "weights.bin: altered" in fault


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"files": []}',
        '{"files": {"config.json": 3}}',
        '{"files": {"config.json": {"bytes": "2", "sha256": "x"}}}',
        '{"files": {"config.json": {"bytes": 2, "sha256": 7}}}',
        '{"files": {"": {"bytes": 2, "sha256": "x"}}}',
        '{"files": {"a\\u0000b": {"bytes": 2, "sha256": "x"}}}',
    ],
)
def test_a_damaged_manifest_is_named(content: str, folder: Path) -> None:
    (folder / MANIFEST_FILE).write_text(content)
    with pytest.raises(UserError, match=MANIFEST_FILE):
        check_folder(folder)
