"""The lock files hold what the ranges allow, each file with its hash."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT_ROOT = Path(__file__).resolve().parents[1]


def locked(name: str) -> dict[str, list[str]]:
    """Name of a package → its versions: one for each range of Pythons."""
    lines = (PROJECT_ROOT / name).read_text(encoding="utf-8").splitlines()
    found: dict[str, list[str]] = {}
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if match := re.match(r"([a-z0-9.-]+)==([^ ]+)", line):
            assert following.startswith("    --hash=sha256:"), line
            found.setdefault(match[1], []).append(match[2])
    return found


def ranges(extra: str | None) -> list[Requirement]:
    lines = (PROJECT_ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    texts = [text for line in lines if (text := line.split("#")[0].strip())]
    if extra is not None:
        project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        texts += project["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize(("lock", "extra"), [("requirements.lock", None), ("tests/requirements.lock", "test")])
def test_every_range_is_locked(lock: str, extra: str | None) -> None:
    versions = locked(lock)
    for requirement in ranges(extra):
        assert versions.get(requirement.name), f"{lock} lacks {requirement.name}: make it anew, as its head says"
        assert all(requirement.specifier.contains(version) for version in versions[requirement.name]), requirement


def test_the_tests_run_on_the_releases_that_users_get() -> None:
    tests = locked("tests/requirements.lock")
    assert {name: tests.get(name) for name in locked("requirements.lock")} == locked("requirements.lock")


def test_the_runtime_package_has_the_same_server() -> None:
    extras = [
        tomllib.loads((PROJECT_ROOT / path).read_text(encoding="utf-8"))["project"]["optional-dependencies"]["serve"]
        for path in ("pyproject.toml", "code/power_bert_runtime/pyproject.toml")
    ]
    assert extras[0] == extras[1]
