"""Data source: TensorFlow Datasets (DATA_DIR=tfds:glue/cola). The only module in `text` that imports TensorFlow."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from power_bert.errors import UserError, shorten
from power_bert.text.row_readers import RawRows
from power_bert.text.task import Split, Task
from power_bert_runtime.native_stderr import native_stderr_held_back
from power_bert_runtime.parsing import parsing

# GLUE task → names of its data sets, and names of its text features if they differ from the columns of the files.
_GLUE: dict[str, tuple[tuple[str, ...], tuple[str, ...] | None]] = {
    "cola": (("glue/cola",), None),
    "sst-2": (("glue/sst2",), None),
    "mrpc": (("glue/mrpc",), ("sentence1", "sentence2")),
    "sts-b": (("glue/stsb",), None),
    "qqp": (("glue/qqp",), None),
    "mnli-m": (("glue/mnli", "glue/mnli_matched"), ("premise", "hypothesis")),
    "mnli-mm": (("glue/mnli", "glue/mnli_mismatched"), ("premise", "hypothesis")),
    "qnli": (("glue/qnli",), None),
    "rte": (("glue/rte",), None),
    "wnli": (("glue/wnli",), None),
    "ax": (("glue/ax",), ("premise", "hypothesis")),
}
_GLUE_LABEL = "label"
_SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}
# glue/mnli holds both test sections.
_MNLI_SECTIONS = {"mnli-m": "matched", "mnli-mm": "mismatched"}
# Position of an example in the official file; the data set itself has another order.
_INDEX = "idx"
# TensorFlow Datasets searches similar names for unknown ones, which takes seconds for long names.
_LONGEST_NAME = 200

# Texts and label or score of an example.
_Row = tuple[list[str], str | None]


class TfdsSource:
    """Data set of TensorFlow Datasets, downloaded into its folder on first use.

    Args:
        name: Name such as "glue/cola" or "glue/cola:2.0.0".

    Raises:
        UserError: The name is too long.
    """

    def __init__(self, name: str) -> None:
        if len(name) > _LONGEST_NAME:
            raise UserError(f"DATA_DIR=tfds:{shorten(name)}: no such data set. Expected a name such as tfds:glue/cola.")
        self.name = name

    def has(self, task: Task, split: Split) -> bool:
        """Return whether the split exists."""
        if task.name in _GLUE:
            return split in task.files and self._base_name in _GLUE[task.name][0]
        return _SPLITS[split] in self._builder.info.splits

    def rows(self, task: Task, split: Split, chunk_rows: int) -> Iterator[RawRows]:
        """Read the split in the order of the original file if the data set has its index, else in its own order.

        Raises:
            UserError: A feature is missing, or a file of the data set is damaged.
        """
        texts, target = self._check_features(task, split)
        name = self._split_name(task, split)
        labels = self._label_strings(task, target)
        source = f"tfds:{self.name}, {name}"
        batches = read_tfds(self._builder, name, f"DATA_DIR=tfds:{self.name}", chunk_rows)
        examples = _rows_of_batches(batches, source, texts, target, labels)
        if _INDEX in self._builder.info.features:
            examples = _in_order(examples)
        start = 0
        while chunk := [row for _, row in islice(examples, chunk_rows)]:
            numbers = range(start, start + len(chunk))
            targets = None if target is None else [row[1] or "" for row in chunk]
            columns = tuple([row[0][column] for row in chunk] for column in range(len(texts)))
            yield RawRows(source, numbers, columns, targets, unit="example")
            start += len(chunk)

    def fingerprint(self, task: Task) -> dict[str, str]:
        """Return the data set's name with its version."""
        return {f"tfds:{self.name}": str(self._builder.info.full_name)}

    @cached_property
    def _builder(self) -> Any:
        return open_tfds(self.name, f"DATA_DIR=tfds:{self.name}")

    def _split_name(self, task: Task, split: Split) -> str:
        name = _SPLITS[split]
        if self._base_name == "glue/mnli" and split != "train" and task.name in _MNLI_SECTIONS:
            name = f"{name}_{_MNLI_SECTIONS[task.name]}"
        known = list(self._builder.info.splits)
        if split not in task.files or (known and name not in known):
            raise UserError(
                f"DATA_DIR=tfds:{self.name}: no {name} split for {task.name}; there are {', '.join(known) or 'others'}."
            )
        return name

    def _check_features(self, task: Task, split: Split) -> tuple[list[str], str | None]:
        """Return the names of the text features and of the label or score; None if the split has none."""
        layout = task.layout(split)
        texts, target = [str(column) for column in layout.text_columns], layout.label_column
        if task.name in _GLUE:
            names, columns = _GLUE[task.name]
            if self._base_name not in names:
                expected = " or ".join(f"tfds:{name}" for name in names)
                raise UserError(f"DATA_DIR=tfds:{self.name}: not the data of TASK={task.name}. Expected {expected}.")
            texts = list(columns or (str(column) for column in task.test_layout.text_columns))
            target = None if target is None else _GLUE_LABEL
        features = self._builder.info.features
        for name in [*texts, *([] if target is None else [str(target)])]:
            if name not in features:
                raise UserError(
                    f"DATA_DIR=tfds:{self.name}: no feature named {name!r}; there are {shorten(', '.join(features))}. "
                    "Set TEXT_COLUMNS and LABEL_COLUMN to some of them."
                )
        return texts, None if target is None else str(target)

    @property
    def _base_name(self) -> str:
        return self.name.partition(":")[0]

    def _label_strings(self, task: Task, target: str | None) -> list[str] | None:
        """Return the label strings by class index; None if the target is no class."""
        if target is None:
            return None
        names = getattr(self._builder.info.features[target], "names", None)
        if task.name in _GLUE and task.labels == ("0", "1"):
            return list(task.labels)  # GLUE's files hold numbers and the data sets names, in the same order
        return names


def open_tfds(name: str, where: str) -> Any:
    """Open a data set, and download it first if needed.

    Args:
        name: Name such as "glue/cola" or "glue/cola:2.0.0".
        where: Setting that names the data set, for messages.

    Raises:
        UserError: There is no such data set, or it cannot be downloaded.
    """
    try:
        with native_stderr_held_back():
            import tensorflow  # noqa: F401
        import tensorflow_datasets as tfds

        builder = tfds.builder(name)
        builder.download_and_prepare()
    except ImportError as error:
        raise UserError(f"{where}: needs a Python package that is not installed ({error}). Install it.") from error
    except (OSError, tfds.download.DownloadError) as error:
        raise UserError(
            f"{where}: cannot be downloaded ({_problem(error)}). Check the network; or prepare the data set on another "
            "machine and set TFDS_DATA_DIR to a copy of its tensorflow_datasets folder."
        ) from error
    except Exception as error:  # an unknown name, and anything that the data set's own code may raise
        raise UserError(
            f"{where}: no such data set, or it cannot be prepared ({_problem(error)}). Expected a name such as "
            "tfds:glue/cola."
        ) from error
    return builder


def read_tfds(builder: Any, split: str, where: str, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Read the batches of a split, in stored order.

    Args:
        builder: Builder from `open_tfds`.
        split: Name of a split or of a part of it, such as "train[:100]".
        where: Setting that names the data set, for messages.
        batch_size: Examples per batch.

    Yields:
        Name of each feature → values, (batch, …).

    Raises:
        UserError: A file of the data set is damaged, or has fewer examples than expected.
    """
    import tensorflow_datasets as tfds

    advice = f"Delete {builder.data_dir} to have it prepared again"
    # The library itself checks the number of examples.
    with parsing(where, f"a whole data set of TensorFlow Datasets, {split}", advice):
        yield from tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False).batch(batch_size))


def _problem(error: Exception) -> str:
    return shorten((str(error).strip().splitlines() or [type(error).__name__])[0])


def _rows_of_batches(
    batches: Iterable[dict[str, np.ndarray]],
    source: str,
    texts: list[str],
    target: str | None,
    labels: list[str] | None,
) -> Iterator[tuple[int, _Row]]:
    """Yield the index (0 if there is none) and the row of each example."""
    expected = f"a data set with UTF-8 texts in {', '.join(texts)}{f' and labels in {target}' if target else ''}"
    with parsing(source, expected, "Set TEXT_COLUMNS and LABEL_COLUMN to other features."):
        for batch in batches:
            for row in range(len(batch[texts[0]])):
                index = int(batch[_INDEX][row]) if _INDEX in batch else 0
                value = None if target is None else _target_string(batch[target][row], labels)
                yield index, ([batch[name][row].decode("utf-8") for name in texts], value)


def _target_string(value: Any, labels: list[str] | None) -> str:
    """Return a label or score as a file would hold it; -1 is a hidden label."""
    if labels is not None:
        return labels[value] if value >= 0 else str(value)
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _in_order(examples: Iterable[tuple[int, _Row]]) -> Iterator[tuple[int, _Row]]:
    """Sort examples by index; waiting examples are stored in a temporary file, so that memory stays flat."""
    indices, offsets = array("q"), array("q")
    with tempfile.TemporaryFile() as spool:
        for index, row in examples:
            indices.append(index)
            offsets.append(spool.tell())
            spool.write(json.dumps(row).encode() + b"\n")
        for position in np.argsort(indices, kind="stable"):
            spool.seek(offsets[position])
            texts, target = json.loads(spool.readline())
            yield indices[position], (texts, target)
