"""Data source: a folder with one file per split."""

from collections.abc import Iterator
from pathlib import Path

from power_bert.errors import UserError
from power_bert.storage.files import file_sha256
from power_bert.text.row_readers import RawRows, read_rows
from power_bert.text.task import Split, Task


class FolderSource:
    """Folder with one file per split.

    Args:
        data_dir: The task's folder (`…/CoLA`), or a GLUE folder with one folder per task.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def has(self, task: Task, split: Split) -> bool:
        """Return whether the split's file exists."""
        return bool(self._found(task, split))

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """Read the rows of the split's file."""
        return read_rows(self.find_file(task, split), task.layout(split), chunk_rows)

    def fingerprint(self, task: Task) -> dict[str, str]:
        """Return the name of each file of the task → its sha256."""
        digests = {}
        for split in task.files:
            for path in self._found(task, split)[:1]:
                digests[path.name] = file_sha256(path)
        return digests

    def find_file(self, task: Task, split: Split) -> Path:
        """Find the file of a split.

        Raises:
            UserError: The task has no such split, the file does not exist, or there are several files with the same
                name and different endings.
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
        """Return the existing files with the preferred name."""
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
            f"Expected {path}{others}: put the files of {task.name} there{fetch}, or set DATA_DIR (--data-dir) to "
            "the folder that has them."
        )
        if not self.data_dir.is_dir():
            return f"{self.data_dir}: no such folder. {remedy}"
        return f"{path}: no such file. {remedy}"
