"""Where examples come from. A new kind of source is a class with the three methods of `Source`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from power_bert.errors import UserError
from power_bert.files import file_sha256
from power_bert.text.row_readers import RawRows, read_rows
from power_bert.text.task import Split, Task

TFDS_PREFIX = "tfds:"


class Source(Protocol):
    """Data of a task."""

    def has(self, task: Task, split: Split) -> bool:
        """Whether there is such a split."""

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """The split's rows in their order, at most `chunk_rows` at once; a UserError names a bad one."""

    def fingerprint(self, task: Task) -> dict[str, str]:
        """Name of each part -> what changes when the part changes."""


def is_tfds(data_dir: str | Path) -> bool:
    """Whether DATA_DIR names a data set of TensorFlow Datasets and not a folder."""
    return str(data_dir).startswith(TFDS_PREFIX)


def open_source(data_dir: str | Path) -> Source:
    """The source that DATA_DIR names: a folder (or an archive in it), or `tfds:` and the name of a data set."""
    if is_tfds(data_dir):
        from power_bert.text.tfds_source import TfdsSource  # it imports TensorFlow

        return TfdsSource(str(data_dir).removeprefix(TFDS_PREFIX))
    from power_bert.text.labelled_sources import PublishedFolderSource  # it builds on this module

    return PublishedFolderSource(Path(data_dir))


class FolderSource:
    """A folder with a file for each split.

    Args:
        data_dir: The task's folder (`…/CoLA`), or a GLUE folder with one folder a task.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def has(self, task: Task, split: Split) -> bool:
        """Whether the split's file is there."""
        return bool(self._found(task, split))

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """Reads the split's file."""
        return read_rows(self.find_file(task, split), task.layout(split), chunk_rows)

    def fingerprint(self, task: Task) -> dict[str, str]:
        """The sha256 of each file of the task."""
        digests = {}
        for split in task.files:
            for path in self._found(task, split)[:1]:
                digests[path.name] = file_sha256(path)
        return digests

    def find_file(self, task: Task, split: Split) -> Path:
        """The file of a split.

        Raises:
            UserError: The task has no such split, there is no such file, or there are several with the same name and
                different endings.
        """
        if split not in task.files:
            raise UserError(
                f"{task.name} has no {split} data: it is a test set alone. Train another task of the same labels "
                "(mnli-m or mnli-mm) and predict it with that model."
            )
        found = self._found(task, split)
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise UserError(f"{found[0].parent}: holds {names}. Expected one of them; move the others away.")
        if not found:
            raise UserError(self._missing(task, split))
        return found[0]

    def _folder(self, task: Task) -> Path:
        inside = self.data_dir / task.folder
        return inside if inside.is_dir() else self.data_dir

    def _found(self, task: Task, split: Split) -> list[Path]:
        """The files of the preferred name that exist."""
        for name in task.files.get(split, ()):
            paths = [self._folder(task) / f"{name}{ending}" for ending in task.endings]
            if found := [path for path in paths if path.exists()]:
                return found
        return []

    def _missing(self, task: Task, split: Split) -> str:
        names = [f"{name}{ending}" for name in task.files[split] for ending in task.endings]
        path = self._folder(task) / names[0]
        others = f" (or {', '.join(names[1:])})" if names[1:] else ""
        fetch = f", or fetch them with `bash run.sh download {task.name}`" if task.rows else ""
        remedy = (
            f"Expected {path}{others}: put the files of {task.name} there{fetch}, or set DATA_DIR to the folder that "
            "has them."
        )
        if not self.data_dir.is_dir():
            return f"{self.data_dir}: no such folder. {remedy}"
        return f"{path}: no such file. {remedy}"
