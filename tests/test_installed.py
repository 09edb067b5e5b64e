"""The package as pip installs it: it works from any folder and writes nothing beside itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package and its console script."""
    folder, source = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("source") / "project"
    copy = ["git", "clone", "-q", str(PROJECT_ROOT), str(source)]
    if not (PROJECT_ROOT / ".git").exists() or subprocess.run(copy).returncode != 0:
        pytest.skip("needs git and a clone of the project")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return folder


def call(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the console script as a user does, from a folder of his own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POWER_BERT_")}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
    (folder / "home").mkdir(exist_ok=True)
    command = [sys.executable, str(installed / "bin" / "power-bert"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_it_works_in_the_current_folder(installed: Path, tmp_path: Path) -> None:
    before = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    result = call(installed, tmp_path, "sample")
    assert (result.returncode, result.stderr) == (0, "")
    assert list((tmp_path / "glue_data").rglob("train.tsv"))
    result = call(installed, tmp_path, "pretrain", "--config", "recipes/nothing.toml", "--corpus", "x", "--out", "y")
    assert result.returncode == 2 and "With the program come recipes/bert_mini.toml, recipes/bert_tiny" in result.stderr
    assert "Usage: power-bert run" in call(installed, tmp_path, "run", "--help").stdout
    assert {path for path in installed.rglob("*") if "__pycache__" not in path.parts} == before
