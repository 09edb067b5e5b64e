"""GLUE submissions: eleven prediction files in one flat zip."""

import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from power_bert.errors import UserError, shorten
from power_bert.glue.prediction_faults import FaultList, find_prediction_faults
from power_bert.storage.archives import ZipReader, open_zip
from power_bert.storage.files import atomic_file
from power_bert.text.glue_tasks import TASKS
from power_bert.text.predictions import HEADER
from power_bert.text.task import Task

# Constant predictions for a task without a model: the most frequent class, or the mean score.
# CoLA, SST-2, MRPC, WNLI: counted in train.tsv (6023 of 8551, 37569 of 67349, 2474 of 3668, 323 of 635).
# STS-B: mean of train.tsv. QQP: 63 % are no duplicates. AX: 42 % entailment, 35 % neutral, 23 % contradiction
# (Wang et al., GLUE, ICLR 2019, sections 3.2 and 4). MNLI, QNLI and RTE are balanced by design: the most frequent
# class of dev (3479 of 9815 and 3463 of 9832; 2761 of 5463; 146 of 277).
MAJORITY: dict[str, str] = {
    "cola": "1",
    "sst-2": "1",
    "mrpc": "1",
    "sts-b": "2.701",
    "qqp": "0",
    "mnli-m": "entailment",
    "mnli-mm": "entailment",
    "qnli": "not_entailment",
    "rte": "entailment",
    "wnli": "0",
    "ax": "entailment",
}
# Oldest date that a zip can hold; a fixed date makes equal predictions give equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE = 0o644 << 16
_UNIX = 3
_LONGEST_LINE = 4096


def majority_predictions(task: Task) -> Iterator[bytes]:
    """Yield the lines of a prediction file with the same prediction for every example of the official test set."""
    yield ("\t".join(HEADER) + "\n").encode()
    for index in range(task.test_rows):
        yield f"{index}\t{MAJORITY[task.name]}\n".encode()


def write_submission(path: str | Path, predictions: Mapping[str, Iterable[bytes]]) -> None:
    """Write a submission atomically, and only if `find_submission_faults` finds no fault.

    Args:
        path: Path of the zip.
        predictions: Name of a GLUE task → lines of its prediction file, with their ends.

    Raises:
        UserError: The submission would have faults, or cannot be written; an older zip is left untouched.
    """
    try:
        with atomic_file(path) as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name, task in TASKS.items():
                    if name in predictions:
                        _write_member(archive, task.prediction_file, predictions[name])
            file.flush()
            faults = find_submission_faults(file.name)
            if faults:
                lines = [line for found in faults for line in found.lines()]
                raise UserError(f"{path}: not written; the submission would have faults:\n" + "\n".join(lines))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); give another --out") from None


def find_submission_faults(path: str | Path) -> list[FaultList]:
    """Find the faults of a submission zip.

    Returns:
        Faults of the zip itself and of each of its files; empty if the GLUE server will accept it.

    Raises:
        UserError: The file does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a submission zip, as `bash run.sh submit` writes it")
    whole = FaultList(path.name)
    try:
        with open_zip(path) as archive:
            _check_names(archive.counts, whole)
            files = [_check_member(archive, task) for task in TASKS.values() if task.prediction_file in archive.counts]
    except UserError as error:
        whole.add(f"damaged, or no zip file ({shorten(error.__cause__ or error)})")
        files = []
    return [faults for faults in (whole, *files) if faults.count]


def _write_member(archive: zipfile.ZipFile, name: str, lines: Iterable[bytes]) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, _REGULAR_FILE, _UNIX
    with archive.open(entry, "w") as member:
        member.writelines(lines)


def _check_names(counts: Counter[str], faults: FaultList) -> None:
    expected = [task.prediction_file for task in TASKS.values()]
    for name, count in counts.items():
        if "/" in name or "\\" in name:
            faults.add(f"{shorten(name, 80)} lies in a folder; expected all files at the top")
        elif name not in expected:
            faults.add(f"{shorten(name, 80)} does not belong to a submission; expected {', '.join(expected)}")
        elif count > 1:
            faults.add(f"{name} is there {count} times; expected once")
    for name in expected:
        if name not in counts:
            faults.add(f"{name} is missing")


def _check_member(archive: ZipReader, task: Task) -> FaultList:
    name = task.prediction_file
    try:
        with archive.open(name) as member:
            return find_prediction_faults(name, _lines(member), task)
    except UserError as error:
        faults = FaultList(name)
        faults.add(f"damaged, cannot be read ({shorten(error.__cause__ or error)})")
        return faults


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file; an extremely long line comes in parts, so that it cannot fill the memory."""
    while line := file.readline(_LONGEST_LINE):
        yield line
