"""Manifest of a folder with the names, sizes and sha256 of its files, written last so that damage is detected.

<folder>/power_bert_manifest.json    {"files": {"config.json": {"bytes": 812, "sha256": "…"}, …}}

A folder without a manifest, from an older version or another program, is read without checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.storage.files import atomic_write_text, file_sha256
from power_bert_runtime.parsing import parse_json, parsing

MANIFEST_FILE = "power_bert_manifest.json"
# Smaller files are hashed at every reading, which takes no time. Larger ones (weights) are hashed on request.
_LARGEST_ALWAYS_HASHED = 1 << 20
_REMEDY = "Restore it, or make the folder anew"


def write_manifest(folder: Path) -> None:
    """Write the manifest of all files of a folder except its cards (`.md`), which people may edit."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _is_listed(path)
    }
    atomic_write_text(folder / MANIFEST_FILE, json.dumps({"files": files}, indent=2) + "\n")


def _is_listed(path: Path) -> bool:
    return path.name != MANIFEST_FILE and path.suffix != ".md" and not path.name.startswith(".")


def check_folder(folder: Path) -> None:
    """Raise a `UserError` for the first fault of `folder_faults`; large files are not hashed."""
    for fault in folder_faults(folder, hash_all=False):
        raise UserError(fault)


def folder_faults(folder: Path, hash_all: bool) -> Iterator[str]:
    """Compare the files of a folder with its manifest.

    Args:
        folder: Folder to check; without a manifest it has no faults.
        hash_all: Whether to hash large files too; their names and sizes are always compared.

    Yields:
        A sentence about each file that is missing, truncated or changed.

    Raises:
        UserError: The manifest itself is damaged.
    """
    manifest = folder / MANIFEST_FILE
    if manifest.is_file():
        for name, (size, sha256) in _read_manifest(manifest).items():
            if fault := _fault_of(folder / name, size, sha256, hash_all):
                yield fault


def _read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    """Return the size and sha256 of each file, by name."""
    values: Any = parse_json(path.read_bytes(), path, advice=_REMEDY)
    with parsing(path, 'a manifest ("files": name → "bytes", "sha256")', _REMEDY):
        files = {name: (entry["bytes"], entry["sha256"]) for name, entry in values["files"].items()}
        for name, (size, sha256) in files.items():
            if not isinstance(size, int) or not isinstance(sha256, str) or not name or "\0" in name:
                raise ValueError(f"entry {shorten(name)!r}")
    return files


def _fault_of(path: Path, size: int, sha256: str, hash_all: bool) -> str:
    """Return what is wrong with a file; "" if nothing is."""
    try:
        found = path.stat().st_size
    except OSError as error:
        reason = error.strerror or error
        return f"{path}: missing, although {MANIFEST_FILE} names it ({reason}). {_REMEDY}"
    if found != size:
        return f"{path}: {found} bytes, but {size} were written: truncated or altered. {_REMEDY}"
    if (hash_all or size <= _LARGEST_ALWAYS_HASHED) and file_sha256(path) != sha256:
        return (
            f"{path}: altered since it was written (its sha256 is not the one in {MANIFEST_FILE}). {_REMEDY}; if you "
            f"altered it on purpose, delete {MANIFEST_FILE}"
        )
    return ""
