"""Verify the content of a folder: models, runs, cached logits, corpora and .tflite files, by their checksums."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from power_bert.corpus.manifest import open_corpus
from power_bert.corpus.shards import read_shard
from power_bert.distill.cached_logits import CachedLogits
from power_bert.errors import UserError
from power_bert.runs.run_dir import BASELINE, DISTILL, PHASES, RunDir
from power_bert.runs.run_documents import read_environment, read_metrics, read_retention
from power_bert.runs.run_folder import read_settings
from power_bert.storage.folder_manifest import MANIFEST_FILE, folder_faults
from power_bert.text.predictions import read_predictions

# Checks one thing; yields its faults, or raises the only one.
Check = Callable[[], Iterable[str]]


def verify_folder(folder: Path, tell: Callable[[str], None]) -> list[str]:
    """Check everything in a folder and its subfolders; all files are hashed.

    Args:
        folder: Folder of a model, of runs, cached logits, a corpus, a pre-training, a study or exported files.
        tell: Called with one line per checked item.

    Returns:
        Faults; each is a sentence that names the file.

    Raises:
        UserError: The folder holds nothing that this project wrote together with its checksums.
    """
    faults: list[str] = []
    checked = 0
    for what, check in _checks(folder):
        tell(f"checking {what}")
        checked += 1
        try:
            faults += check()
        except UserError as error:
            faults.append(str(error))
    if not checked:
        raise UserError(
            f"{folder}: nothing to verify: no model folder with a {MANIFEST_FILE}, run, cached logits, corpus or "
            ".tflite file. Models of older versions have no manifest"
        )
    return faults


def _checks(folder: Path) -> Iterator[tuple[str, Check]]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        place = Path(root)
        if MANIFEST_FILE in names:
            yield f"{place}: files", partial(folder_faults, place, hash_all=True)
        if {"plan.json", "manifest.json"} <= set(names):
            yield f"{place}: corpus", partial(_corpus_faults, place)
        if "meta.json" in names and any(name.endswith(".npy") for name in names):
            yield f"{place}: cached logits", partial(_logits_faults, place)
        if RunDir(place).holds_run:
            yield f"{place}: run", partial(_run_faults, RunDir(place))
        for name in sorted(names):
            if name.endswith(".tflite"):
                yield f"{place / name}", partial(_export_faults, place / name)


def _corpus_faults(folder: Path) -> Iterator[str]:
    corpus = open_corpus(folder)
    for shard in corpus.shards:
        try:
            read_shard(folder, shard, corpus.length)
        except UserError as error:
            yield str(error)


def _logits_faults(folder: Path) -> Iterator[str]:
    cached = CachedLogits.stored(folder)
    for number in sorted(set(cached.numbers) - set(cached.missing())):
        try:
            cached.read(number)
        except UserError as error:
            yield str(error)


def _run_faults(run_dir: RunDir) -> Iterator[str]:
    """Yield the faults of its settings, and of the figures and predictions of the phases that are done."""
    task = read_settings(run_dir).task_definition
    checks: list[Callable[[], object]] = [partial(read_environment, run_dir.environment)]
    for phase_dir in (run_dir.phase(name) for name in (*PHASES, BASELINE, DISTILL)):
        if phase_dir.is_done:
            checks += [
                partial(read_metrics, phase_dir.metrics, task.metrics),
                partial(read_predictions, phase_dir.predictions("dev"), task),
                phase_dir.existing_model,
            ]
        if phase_dir.is_done and phase_dir.retention.exists():
            checks.append(partial(read_retention, phase_dir.retention))
    for check in checks:
        try:
            check()
        except UserError as error:
            yield str(error)


def _export_faults(path: Path) -> Iterator[str]:
    from power_bert.export.stored_model import read_stored_model

    read_stored_model(path)
    return iter(())
