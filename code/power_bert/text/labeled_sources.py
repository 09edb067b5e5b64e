"""Data sources for published files of the labeled sets: the 20 newsgroups archive and MASSIVE's file per language."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from power_bert.errors import UserError
from power_bert.storage.files import file_sha256, read_line_chunks
from power_bert.text.folder_source import FolderSource
from power_bert.text.labeled_sets import LABELED_TASKS, MASSIVE, NEWSGROUPS
from power_bert.text.newsgroups import ARCHIVE_NAME, read_newsgroups
from power_bert.text.row_readers import RawRows
from power_bert.text.task import Split, Task
from power_bert_runtime.parsing import parse_json

MASSIVE_FILE = "en-US.jsonl"
_MASSIVE_KEYS = ("partition", "utt", "intent")
# Rows of the published files. A file with fewer rows is truncated, even if its last line is complete.
PUBLISHED_ROWS: dict[str, Mapping[Split, int]] = {name: LABELED_TASKS[name].rows for name in (NEWSGROUPS, MASSIVE)}


class PublishedFolderSource(FolderSource):
    """Folder with one file per split, or with the published file of a labeled set that holds all splits.

    Args:
        data_dir: Folder as in `FolderSource`; for the 20 newsgroups also the path of the archive itself.
    """

    def has(self, task: Task, split: Split) -> bool:
        """Return whether the split exists."""
        return self._published(task) is not None or super().has(task, split)

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """Read the rows of the split; raise a `UserError` at the end if a published file lacks rows."""
        published = self._published(task)
        if published is None:
            return super().rows(task, split, chunk_rows)
        read = _newsgroups_rows if task.name == NEWSGROUPS else _massive_rows
        return _counted(read(published, split, chunk_rows), published, split, PUBLISHED_ROWS[task.name][split])

    def fingerprint(self, task: Task) -> dict[str, str]:
        """Return the name of each file of the task → its sha256."""
        published = self._published(task)
        if published is None:
            return super().fingerprint(task)
        return {published.name: file_sha256(published)}

    def _published(self, task: Task) -> Path | None:
        name = {NEWSGROUPS: ARCHIVE_NAME, MASSIVE: MASSIVE_FILE}.get(task.name)
        if name is None:
            return None
        places = (self.data_dir, self.data_dir / name, self.data_dir / task.folder / name)
        return next((path for path in places if path.is_file()), None)


def _counted(chunks: Iterator[RawRows], path: Path, split: Split, expected: int) -> Iterator[RawRows]:
    found = 0
    for rows in chunks:
        found += len(rows.numbers)
        yield rows
    if found != expected:
        raise UserError(
            f"{path}: {found:,} {split} rows, the published file has {expected:,}. Fetch it again; a part of it goes "
            "into files of its own (train.jsonl, dev.jsonl, test.jsonl)."
        )


def _newsgroups_rows(archive: Path, split: Split, chunk_rows: int) -> Iterator[RawRows]:
    documents, start = read_newsgroups(archive, split), 0
    while chunk := list(islice(documents, chunk_rows)):
        groups, _, texts = zip(*chunk, strict=True)
        numbers = range(start, start + len(chunk))
        yield RawRows(f"{archive}, {split}", numbers, (list(texts),), list(groups), unit="document")
        start += len(chunk)


def _massive_rows(path: Path, split: Split, chunk_rows: int) -> Iterator[RawRows]:
    """Read the lines of one partition of MASSIVE's file: {"partition": "train", "intent": …, "utt": …, …}."""
    line_number, found = 0, False
    for lines in read_line_chunks(path, chunk_rows):
        numbers, texts, intents = [], [], []
        for line in lines:
            line_number += 1
            entry = parse_json(line, path, line_number, advice="Download it again")
            values = [entry.get(name) for name in _MASSIVE_KEYS] if isinstance(entry, dict) else []
            strings = [value for value in values if isinstance(value, str)]
            if len(strings) != len(_MASSIVE_KEYS):
                raise UserError(
                    f'{path}, line {line_number}: expected an object with "partition", "utt" and "intent", as '
                    "MASSIVE's archive has it; download it again"
                )
            partition, text, intent = strings
            if partition == split:
                numbers.append(line_number)
                texts.append(text)
                intents.append(intent)
        if texts:
            found = True
            yield RawRows(str(path), numbers, (texts,), intents)
    if not found:
        raise UserError(f'{path}: no line with "partition": "{split}". Download the file again.')
