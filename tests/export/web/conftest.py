"""What tests of the browser page need beside Python: Node.js, the built page, Chromium with its driver."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from power_bert.export.web import build
from power_bert.export.web.build import build_site, packages_are_installed

HERE = Path(__file__).parent
PAGE = Path(build.__file__).with_name("page")
PAGE_COMMAND = "bash run.sh web --build"
DRIVER_COMMAND = "npm ci --prefix tests/export/web/browser"
# Node.js 20 is the first with all that the page's modules use.
OLDEST_NODE = 20


def give_up(reason: str) -> NoReturn:
    """Skips, but never in CI: `.ci/run` installs all of it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs JavaScript outside of a browser."""
    program = shutil.which("node")
    advice = f"install Node.js {OLDEST_NODE} or later with npm (Debian: apt-get install nodejs npm)"
    if program is None:
        give_up(f"needs Node.js: {advice}")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        give_up(f"node is {version}: {advice}")
    return program


@pytest.fixture(scope="session")
def site(node: str) -> Path:
    """Folder of the built page; tests do not download its packages."""
    if not packages_are_installed():
        give_up(f"the page's npm packages are not installed: {PAGE_COMMAND}")
    return build_site(lambda line: None)


@pytest.fixture(scope="session")
def run_script(node: str, site: Path) -> Callable[..., str]:
    """Runs a script of this folder with the page's modules and returns what it prints."""

    def run(script: str, *arguments: Any) -> str:
        command = [node, str(HERE / script), *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


@pytest.fixture(scope="session")
def run_module(node: str) -> Callable[..., str]:
    """Runs a script of this folder with the page's own modules, those that need no packages."""

    def run(script: str, *arguments: Any) -> str:
        command = [node, str(HERE / script), str(PAGE), *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if program := shutil.which(name):
            return program
    give_up("needs Chromium: apt-get install chromium")


@pytest.fixture(scope="session")
def chromium_arguments() -> list[str]:
    """Chromium's own sandbox does not work for root, as in containers."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def browser(node: str, chromium: str) -> Path:
    """Folder of the scripts that use Chromium, with their packages."""
    folder = HERE / "browser"
    for package in ("playwright-core", "onnxruntime-web"):
        if not (folder / "node_modules" / package).is_dir():
            give_up(f"{package} is not installed: {DRIVER_COMMAND}")
    return folder
