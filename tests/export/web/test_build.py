"""Tests of building the page, with a stand-in for npm: nothing is downloaded."""

import json
import re
import shutil
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.export.web import build

PAGE = Path(build.__file__).with_name("page")
# Makes the files that npm would install, and counts its calls.
NPM = """#!/bin/sh
echo "$@" >> calls.txt
if [ -n "$NPM_FAILS" ]; then echo "npm error network is down" >&2; exit 1; fi
for name in {files}; do mkdir -p "node_modules/$(dirname "$name")"; echo "$name" > "node_modules/$name"; done
mkdir -p node_modules/@litertjs/core/wasm
echo wasm > node_modules/@litertjs/core/wasm/litert.wasm
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The build folder, empty; `npm` is the stand-in."""
    target = tmp_path / "build"
    monkeypatch.setattr(build, "_BUILD_FOLDER", target)
    monkeypatch.setattr(build, "_PACKAGES", target / "node_modules")
    monkeypatch.setattr(build, "_INSTALLED", target / "installed.txt")
    monkeypatch.setattr(build, "SITE", target / "site")
    npm = tmp_path / "npm"
    npm.write_text(NPM.format(files=" ".join(name for name in build._VENDORED if not name.endswith("wasm"))))
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(npm))
    return target


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_page_and_its_packages_in_one_folder(folder: Path) -> None:
    told: list[str] = []
    site = build.build_site(told.append)
    assert {"index.html", "app.js", "style.css", "models.json"} <= _files(site)
    assert "vendor/@litertjs/core/wasm/litert.wasm" in _files(site)
    imports = json.loads(re.findall(r'"imports": ({.*?})', (site / "index.html").read_text(), re.DOTALL)[0])
    assert all((site / path).is_file() for path in imports.values())
    assert json.loads((site / "models.json").read_text()) == []
    assert "npm packages" in told[0]


def test_packages_are_installed_once(folder: Path) -> None:
    for _ in range(3):
        build.build_site(lambda line: None)
    calls = (folder / "calls.txt").read_text().splitlines()
    assert len(calls) == 1 and calls[0].startswith("ci ")
    assert (folder / "package-lock.json").read_bytes() == PAGE.with_name("package-lock.json").read_bytes()


def test_another_lock_file_installs_again(folder: Path) -> None:
    build.build_site(lambda line: None)
    (folder / "installed.txt").write_text("older")
    build.build_site(lambda line: None)
    assert len((folder / "calls.txt").read_text().splitlines()) == 2


def test_npm_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"npm is not installed.*apt-get install nodejs npm"):
        build.build_site(lambda line: None)
    assert not folder.exists()


def test_npm_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_FAILS", "1")
    with pytest.raises(UserError, match=r"check the network[^$]*network is down"):
        build.build_site(lambda line: None)
    assert not build.packages_are_installed() and not (folder / "site").exists()


class TestWriteSite:
    def test_with_models(self, folder: Path, tmp_path: Path) -> None:
        models = [tmp_path / "a" / "my model.tflite", tmp_path / "b" / "my model.tflite"]
        for model in models:
            model.parent.mkdir()
            model.write_text(model.parent.name)
        target = tmp_path / "public"
        build.write_site(target, models, lambda line: None)
        listed = json.loads((target / "models.json").read_text())
        assert [entry["name"] for entry in listed] == ["my model.tflite"] * 2
        assert [entry["url"] for entry in listed] == ["models/1/my%20model.tflite", "models/2/my%20model.tflite"]
        assert [(target / f"models/{number}/my model.tflite").read_text() for number in (1, 2)] == ["a", "b"]
        assert "/*\n  Cross-Origin-Opener-Policy: same-origin\n" in (target / "_headers").read_text()
        assert {"index.html", "app.js", "vendor/@litertjs/core/wasm/litert.wasm"} <= _files(target)

    def test_a_folder_with_files_is_left_alone(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "public").mkdir()
        (tmp_path / "public" / "thesis.tex").write_text("mine")
        with pytest.raises(UserError, match=r"public is not empty; give a new folder"):
            build.write_site(tmp_path / "public", [], lambda line: None)
        assert _files(tmp_path / "public") == {"thesis.tex"}

    def test_the_target_is_a_file(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "public").write_text("mine")
        with pytest.raises(UserError, match=r"public cannot be written"):
            build.write_site(tmp_path / "public", [], lambda line: None)
        assert (tmp_path / "public").read_text() == "mine"


def test_the_page_refers_to_no_other_host() -> None:
    for path in PAGE.iterdir():
        code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("//"))
        assert set(re.findall(r"https?://[^\s\"'`]+", code)) <= {"http://www.w3.org/2000/svg"}, path.name


def test_npm_packages_are_pinned() -> None:
    wanted = json.loads(PAGE.with_name("package.json").read_text())["dependencies"]
    locked = json.loads(PAGE.with_name("package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in entry for name, entry in locked.items() if name)
