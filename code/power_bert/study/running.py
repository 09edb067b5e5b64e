"""Runs a study: vocabulary and corpus, then one cell after another, each in a process of its own."""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console

from power_bert.corpus.local_runner import end_with_parent
from power_bert.corpus.manifest import Corpus, describe_corpus, make_plan
from power_bert.corpus.preparation import prepare_corpus
from power_bert.corpus.vocabulary import train_vocabulary_file
from power_bert.corpus.vocabulary_file import VocabularyOrigin
from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.run_dir import read_json
from power_bert.study.definition import Cell, Study
from power_bert.study.folder import StudyDir
from power_bert.study.work import is_done

# Runs one cell: (study, cell, folder of the study) → its error, "" where there is none.
RunCell = Callable[[Study, Cell, Path], str]


def run_study(study: Study, folder: StudyDir, console: Console, run_cell: RunCell | None = None) -> dict[str, str]:
    """Runs all cells that are not done; one that fails does not stop the others.

    A grid that has grown since an earlier call runs what is new.

    Args:
        study: What to run.
        folder: Where.
        console: Where to say what goes on.
        run_cell: Runs one; None does it in a process of its own.

    Returns:
        Name of each cell that failed → its error.

    Raises:
        UserError: The corpus cannot be made, or the folder is of a study on another one.
    """
    _start_folder(study, folder)
    console.print(describe_corpus(prepare_study_corpus(study, folder, console)), markup=False)
    waiting = [cell for cell in study.cells if not is_done(study, folder.cell(cell.name))]
    if len(waiting) < len(study.cells):
        console.print(f"{len(study.cells) - len(waiting)} of {len(study.cells)} cells are already done", markup=False)
    errors: dict[str, str] = {}
    started = time.monotonic()
    for number, cell in enumerate(waiting):
        cell_dir = folder.cell(cell.name)
        left = (time.monotonic() - started) / number * (len(waiting) - number) if number else 0.0
        pace = f", about {_hours_and_minutes(left)} left at the pace so far" if number else ""
        console.print(f"=== {cell.name}, {number + 1} of {len(waiting)}{pace}", markup=False)
        error = (run_cell or run_cell_as_process)(study, cell, folder.path)
        if error:
            errors[cell.name] = error
            console.print(f"failed: {error}", markup=False)
            atomic_write_text(cell_dir.error, error + "\n")
        else:
            cell_dir.error.unlink(missing_ok=True)
    return errors


def _hours_and_minutes(seconds: float) -> str:
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _start_folder(study: Study, folder: StudyDir) -> None:
    if folder.definition.is_file():
        old, new = read_json(folder.definition).get("corpus"), json.loads(study.to_json())["corpus"]
        if old != new:
            raise UserError(f"{folder.path}: holds a study on another corpus ({old}); choose another --out")
    elif folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise UserError(f"{folder.path}: is there and no study (no {folder.definition.name}); choose another --out")
    try:
        atomic_write_text(folder.definition, study.to_json())
    except OSError as error:
        raise UserError(f"{folder.path}: cannot be written ({error.strerror or error}); choose another --out") from None


def prepare_study_corpus(study: Study, folder: StudyDir, console: Console) -> Corpus:
    """The vocabulary and the corpus of a study, made where they are missing."""
    definition = study.corpus
    if not folder.vocabulary.is_file():
        console.print("training the vocabulary", markup=False)
        origin = VocabularyOrigin(not definition.cased, definition.rules, definition.split)
        train_vocabulary_file(
            definition.sources, folder.vocabulary, definition.vocabulary_size, origin, on_document=lambda: None
        )
    plan = make_plan(definition.sources, folder.vocabulary, definition.length, definition.rules, definition.split)
    console.print("preparing the corpus", markup=False)
    return prepare_corpus(plan, folder.corpus, folder.vocabulary, workers=multiprocessing.cpu_count())


def run_cell_as_process(study: Study, cell: Cell, folder: Path) -> str:
    """Runs a cell in a fresh process: nothing of an earlier one is in its memory or its random numbers."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    # A daemon is ended when this process ends, also by Ctrl-C.
    process = context.Process(target=_run_cell_in_process, args=(study, cell, folder, sender), daemon=True)
    process.start()
    sender.close()
    try:
        error = str(receiver.recv())
    except EOFError:
        error = ""  # it ended without a word
    process.join()
    if not error and process.exitcode:
        error = f"ended with status {process.exitcode}; its output above says more"
    return error


def _run_cell_in_process(study: Study, cell: Cell, folder: Path, answer: Connection) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches this process too; the parent speaks for both
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.study.cell import run_cell

    try:
        run_cell(study, cell, StudyDir(folder))
    except UserError as error:
        answer.send(str(error))
    else:
        answer.send("")
