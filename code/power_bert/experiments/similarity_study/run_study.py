"""Run a study: vocabulary and corpus, then the cells, each in its own process."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path

from rich.console import Console

from power_bert.child_processes import ChildProcess, start_child
from power_bert.corpus.manifest import Corpus, describe_corpus, make_plan
from power_bert.corpus.preparation import prepare_corpus
from power_bert.corpus.vocabulary_file import VocabularyOrigin
from power_bert.corpus.vocabulary_training import train_vocabulary_file
from power_bert.errors import UserError
from power_bert.experiments.similarity_study.study_definition import Cell, Study
from power_bert.experiments.similarity_study.study_folder import StudyDir
from power_bert.experiments.similarity_study.work import is_done, refuse_other_cell
from power_bert.process_environment import THREAD_VARIABLES
from power_bert.runs.run_documents import read_object
from power_bert.storage.files import atomic_write_text, is_empty
from power_bert.storage.locks import writes
from power_bert_runtime.cores import available_cores

# Runs one cell: (study, cell, folder of the study) → its error, "" if there is none.
RunCell = Callable[[Study, Cell, Path], str]
# A cell that has ended, and its error.
Ended = tuple[Cell, str]


@writes(lambda study, folder, *_, **__: folder.path)
def run_study(
    study: Study, folder: StudyDir, console: Console, jobs: int = 1, run_cell: RunCell | None = None
) -> dict[str, str]:
    """Run all cells that are not done; one that fails does not stop the others.

    If the grid has grown since an earlier call, only the new cells run.

    Args:
        study: Study to run.
        folder: Folder of the study.
        console: Console for progress.
        jobs: Number of cells that run at a time, each on an equal part of the cores. A small model leaves a second core
            idle for much of the time, so several cells at a time finish sooner than one after another.
        run_cell: Function that runs a cell in this process, for tests; None runs each cell in its own process.

    Returns:
        Name of each cell that failed → its error.

    Raises:
        UserError: The corpus cannot be made, there are fewer cores than jobs, or the folder is of a study on another
            corpus, or has cells with other settings.
    """
    threads = _threads_of_a_job(jobs)
    _start_folder(study, folder)
    corpus = prepare_study_corpus(study, folder, console)
    console.print(describe_corpus(corpus), markup=False)
    for cell in study.cells:
        refuse_other_cell(study, cell, folder.cell(cell.name), corpus)
    atomic_write_text(folder.definition, study.to_json())  # the grid may have grown
    waiting = [cell for cell in study.cells if not is_done(study, folder.cell(cell.name))]
    if len(waiting) < len(study.cells):
        console.print(f"{len(study.cells) - len(waiting)} of {len(study.cells)} cells are already done", markup=False)
    progress = _Progress(console, len(waiting))
    if run_cell is None:
        ended = _run_in_processes(study, waiting, folder.path, jobs, threads, progress)
    else:
        ended = _run_here(study, waiting, folder.path, run_cell, progress)
    errors: dict[str, str] = {}
    for cell, error in ended:
        error_file = folder.cell(cell.name).error
        if error:
            errors[cell.name] = error
            atomic_write_text(error_file, error + "\n")
        else:
            error_file.unlink(missing_ok=True)
        progress.ended(cell, error)
    return errors


def _threads_of_a_job(jobs: int) -> int:
    """Return the number of cores of each cell; for one cell at a time 0, the default of the libraries."""
    if jobs == 1:
        return 0
    cores = available_cores()
    if not 1 <= jobs <= cores:
        raise UserError(f"--jobs {jobs}: expected 1 to {cores}, the number of cores")
    return cores // jobs


class _Progress:
    """Prints which cells begin and end, and an estimate of the time left."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._num_started = self._num_ended = 0
        self._started = time.monotonic()

    def started(self, cell: Cell) -> None:
        self._num_started += 1
        pace = ""
        if self._num_ended:
            left = (time.monotonic() - self._started) / self._num_ended * (self._total - self._num_ended)
            pace = f", about {_hours_and_minutes(left)} left at the pace so far"
        self._console.print(f"=== {cell.name}, {self._num_started} of {self._total}{pace}", markup=False)

    def ended(self, cell: Cell, error: str) -> None:
        self._num_ended += 1
        self._console.print(f"{cell.name}: {f'failed: {error}' if error else 'done'}", markup=False)


def _hours_and_minutes(seconds: float) -> str:
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _start_folder(study: Study, folder: StudyDir) -> None:
    if folder.definition.is_file():
        old, new = read_object(folder.definition).get("corpus"), json.loads(study.to_json())["corpus"]
        if old != new:
            raise UserError(f"{folder.path}: holds a study on another corpus ({old}); choose another --out")
        return
    if folder.path.exists() and (not folder.path.is_dir() or not is_empty(folder.path)):
        raise UserError(f"{folder.path}: exists but is not a study (no {folder.definition.name}); choose another --out")
    try:
        atomic_write_text(folder.definition, study.to_json())
    except OSError as error:
        raise UserError(f"{folder.path}: cannot be written ({error.strerror or error}); choose another --out") from None


def prepare_study_corpus(study: Study, folder: StudyDir, console: Console) -> Corpus:
    """Return the corpus of a study; vocabulary and corpus are made if they are missing."""
    definition = study.corpus
    if not folder.vocabulary.is_file():
        console.print("training the vocabulary", markup=False)
        origin = VocabularyOrigin(not definition.cased, definition.rules, definition.split)
        train_vocabulary_file(
            definition.sources, folder.vocabulary, definition.vocabulary_size, origin, on_document=lambda: None
        )
    plan = make_plan(definition.sources, folder.vocabulary, definition.length, definition.rules, definition.split)
    console.print("preparing the corpus", markup=False)
    return prepare_corpus(plan, folder.corpus, folder.vocabulary, workers=available_cores())


def _run_here(
    study: Study, cells: Sequence[Cell], folder: Path, run_cell: RunCell, progress: _Progress
) -> Iterator[Ended]:
    for cell in cells:
        progress.started(cell)
        yield cell, run_cell(study, cell, folder)


@dataclass(frozen=True)
class _Running:
    """A cell and its process."""

    cell: Cell
    child: ChildProcess

    def end(self) -> Ended:
        """Wait for its end."""
        try:
            error = str(self.child.connection.recv())
        except EOFError:
            error = ""  # the process ended without sending one
        self.child.process.join()
        if not error and self.child.process.exitcode:
            error = f"ended with status {self.child.process.exitcode}; its output above says more"
        return self.cell, error


def _run_in_processes(
    study: Study, cells: Sequence[Cell], folder: Path, jobs: int, threads: int, progress: _Progress
) -> Iterator[Ended]:
    """Run each cell in a fresh process, so that no memory or random state of an earlier one reaches it."""
    waiting, running = list(reversed(cells)), list[_Running]()
    while waiting or running:
        while waiting and len(running) < jobs:
            cell = waiting.pop()
            progress.started(cell)
            running.append(_Running(cell, start_child(_run_cell_in_process, study, cell, folder, threads)))
        ready = wait_for([each.child.connection for each in running])
        for each in [each for each in running if each.child.connection in ready]:
            running.remove(each)
            yield each.end()


def _run_cell_in_process(study: Study, cell: Cell, folder: Path, threads: int, answer: Connection) -> None:
    if threads:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.experiments.similarity_study.cell import run_cell

    # Mixed output of several cells would be unreadable; each cell has its own in the logs of its folder.
    console = Console(quiet=True) if threads else None
    try:
        run_cell(study, cell, StudyDir(folder), console)
    except UserError as error:
        answer.send(str(error))
    else:
        answer.send("")
