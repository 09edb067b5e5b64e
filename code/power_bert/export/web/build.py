"""Build of the browser page: a static folder with its own files and the npm packages that it needs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from power_bert.errors import UserError
from power_bert.folders import BUILD_FOLDER
from power_bert.storage.files import atomic_directory, atomic_write_text
from power_bert_runtime.serving.page_headers import THREAD_HEADERS

_SOURCES = Path(__file__).parent
_BUILD_FOLDER = BUILD_FOLDER / "web"
_PACKAGES = _BUILD_FOLDER / "node_modules"
_INSTALLED = _BUILD_FOLDER / "installed.txt"
SITE = _BUILD_FOLDER / "site"

# What the browser loads, and the name, version and license of each package.
_VENDORED = (
    "@huggingface/tokenizers/package.json",
    "@huggingface/tokenizers/LICENSE",
    "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "@litertjs/core/package.json",
    "@litertjs/core/dist/index.js",
    "@litertjs/core/wasm",
    "@litertjs/wasm-utils/package.json",
    "@litertjs/wasm-utils/dist/index.js",
)
# Placeholder in index.html for the content security policy, which serves hosts that send none.
_POLICY_PLACE = "CONTENT_SECURITY_POLICY"
_NPM_TIMEOUT_S = 900
_NPM_ADVICE = (
    "Install Node.js with npm (Debian, Ubuntu: apt-get install nodejs npm; macOS: brew install node) and call this "
    "command again."
)


def build_site(progress: Callable[[str], None]) -> Path:
    """Build the page, using the network only if its packages are not installed yet.

    Args:
        progress: Progress callback, which gets a line for each slow step.

    Returns:
        The folder of the page, without models.

    Raises:
        UserError: The command npm is missing or failed, or the folder cannot be written.
    """
    try:
        _prepare_packages(progress)
        with atomic_directory(SITE) as folder:
            _copy_site(folder, [])
    except OSError as error:
        raise UserError(f"{_BUILD_FOLDER} cannot be written ({error})") from error
    return SITE


def write_site(target: Path, models: Sequence[Path], progress: Callable[[str], None]) -> None:
    """Write the page with models to a new folder, for any web host; either the whole folder appears or nothing.

    Args:
        target: A folder that does not exist or is empty.
        models: Model files that the page opens when it is loaded.
        progress: Progress callback, which gets a line for each slow step.

    Raises:
        UserError: The command npm is missing or failed, the folder is not empty, or it cannot be written.
    """
    try:
        _prepare_packages(progress)
        if target.is_dir() and any(target.iterdir()):
            raise UserError(f"{target} is not empty; give a new folder, or delete this one first")
        with atomic_directory(target) as folder:
            _copy_site(folder, models)
            # Netlify and Cloudflare Pages read the headers from this file.
            headers = "".join(f"  {name}: {value}\n" for name, value in THREAD_HEADERS.items())
            (folder / "_headers").write_text(f"/*\n{headers}", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error})") from error


def content_policy(page: str) -> str:
    """Return the content security policy of the page: its own files, WebAssembly, and the import map by its hash.

    The policy prevents loading from and sending to other hosts, and inline scripts and styles. Browsers accept an
    import map only inline, so the policy allows it by its hash.

    Args:
        page: The page's HTML.
    """
    maps = re.findall(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in maps]
    scripts = " ".join(["'self'", "'wasm-unsafe-eval'", *(f"'sha256-{value}'" for value in hashes)])
    own = "; ".join(f"{kind} 'self'" for kind in ("style-src", "img-src", "connect-src", "worker-src"))
    return f"default-src 'none'; script-src {scripts}; {own}; base-uri 'none'; form-action 'none'"


def packages_are_installed() -> bool:
    """Return whether the npm packages are installed in the versions of package-lock.json."""
    return _INSTALLED.is_file() and _INSTALLED.read_text(encoding="utf-8") == _lock_hash()


def model_urls(models: Sequence[Path]) -> dict[str, Path]:
    """Return URL relative to the page → model file; files of the same name get different URLs."""
    return {f"models/{number}/{quote(model.name)}": model for number, model in enumerate(models, start=1)}


def models_json(models: Sequence[Path]) -> str:
    """Return the list of models that the page requests: name and URL of each."""
    urls = model_urls(models)
    return json.dumps([{"name": model.name, "url": url} for url, model in urls.items()], indent=1) + "\n"


def _lock_hash() -> str:
    return hashlib.sha256((_SOURCES / "package-lock.json").read_bytes()).hexdigest()


def _prepare_packages(progress: Callable[[str], None]) -> None:
    if not packages_are_installed():
        progress("Installing the page's npm packages (45 MB) …")
        _install_packages()


def _install_packages() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"npm is not installed; the page needs it once, to get its packages. {_NPM_ADVICE}")
    _BUILD_FOLDER.mkdir(parents=True, exist_ok=True)
    _INSTALLED.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(_SOURCES / name, _BUILD_FOLDER / name)
    # No package needs its installation scripts.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        result = subprocess.run(
            command, cwd=_BUILD_FOLDER, capture_output=True, text=True, timeout=_NPM_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"npm did not finish within {_NPM_TIMEOUT_S} s; check the network") from error
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()[-5:]
        raise UserError("npm could not install the page's packages; check the network.\n" + "\n".join(lines))
    atomic_write_text(_INSTALLED, _lock_hash())


def _copy_site(folder: Path, models: Sequence[Path]) -> None:
    shutil.copytree(_SOURCES / "page", folder, dirs_exist_ok=True)
    page = (folder / "index.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(page.replace(_POLICY_PLACE, content_policy(page)), encoding="utf-8")
    for name in _VENDORED:
        source, target = _PACKAGES / name, folder / "vendor" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    for url, model in model_urls(models).items():
        (folder / url).parent.mkdir(parents=True)
        shutil.copyfile(model, folder / "models" / url.split("/")[1] / model.name)
    (folder / "models.json").write_text(models_json(models), encoding="utf-8")
