"""Sources of examples. A new kind of source is a class with the three methods of `DataSource`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from power_bert.text.row_readers import RawRows
from power_bert.text.table_rows import is_table_file
from power_bert.text.table_source import TableSource
from power_bert.text.task import Split, Task

TFDS_PREFIX = "tfds:"


class DataSource(Protocol):
    """Data of a task, from any source."""

    def has(self, task: Task, split: Split) -> bool:
        """Return whether the split exists."""

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """Read the split's rows in order, at most `chunk_rows` at once; a `UserError` names a bad row."""

    def fingerprint(self, task: Task) -> dict[str, str]:
        """Return the name of each part → a value that changes with the part."""


def is_tfds(data_dir: str | Path) -> bool:
    """Return whether DATA_DIR names a data set of TensorFlow Datasets instead of a folder."""
    return str(data_dir).startswith(TFDS_PREFIX)


def open_source(data_dir: str | Path) -> DataSource:
    """Open the source that DATA_DIR names: a folder, an archive, one table, or `tfds:` and the name of a data set."""
    if is_tfds(data_dir):
        from power_bert.text.tfds_source import TfdsSource  # imports TensorFlow

        return TfdsSource(str(data_dir).removeprefix(TFDS_PREFIX))
    if is_table_file(data_dir):
        return TableSource(Path(data_dir))
    from power_bert.text.labeled_sources import PublishedFolderSource  # builds on this module

    return PublishedFolderSource(Path(data_dir))
