"""TASK=custom on data of the user's own: what one file implies, and which columns hold what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from power_bert.config.shared_settings import DEFAULT_METRIC, DEFAULT_TASK
from power_bert.errors import UserError
from power_bert.text.column_guess import check_columns, guess_label_column, guess_text_column
from power_bert.text.custom_task import CUSTOM, find_labels, is_score_metric, make_custom_task
from power_bert.text.folder_source import FolderSource
from power_bert.text.sources import is_tfds
from power_bert.text.table_rows import TABLE_ENDINGS, is_table_file
from power_bert.text.task import Task

# Names of the fields of data sets from TensorFlow Datasets, which have no header to guess from.
_FIELDS = {"text_columns": ("sentence",), "label_column": "label"}
# Names of files that DATA_DIR may be for tasks of their own.
_ARCHIVES = (".gz", ".tar", ".tgz", ".zip")


def imply_custom_task(values: dict[str, Any]) -> None:
    """Set the task to custom if DATA_DIR is one file; run.sh always names the default task.

    Args:
        values: Settings that are given; changed in place.

    Raises:
        UserError: DATA_DIR is a file that cannot be read, or one of another task.
    """
    data_dir, task = str(values.get("data_dir", "")), values.get("task", DEFAULT_TASK)
    if is_tfds(data_dir):
        return
    if is_table_file(data_dir):
        if task not in (DEFAULT_TASK, CUSTOM):
            raise UserError(
                f"DATA_DIR={data_dir} is one file, which TASK={CUSTOM} reads; TASK={task} needs the folder of its "
                "files. Leave TASK empty, or set DATA_DIR to that folder"
            )
        values["task"] = CUSTOM
    elif Path(data_dir).is_file() and Path(data_dir).suffix not in _ARCHIVES:
        raise UserError(
            f"DATA_DIR={data_dir}: a file of texts and labels must end in {', '.join(TABLE_ENDINGS)}. Save it as CSV "
            "in UTF-8, with a header"
        )


def complete_custom_task(values: dict[str, Any]) -> None:
    """Fill in the columns, metric and labels that are not given.

    Args:
        values: Settings that are given; changed in place.

    Raises:
        UserError: The data cannot be read, or the columns or labels are not clear.
    """
    if "data_dir" not in values:
        raise UserError(f"DATA_DIR is empty: TASK={CUSTOM} needs a file, or a folder with train and dev files")
    values.setdefault("metric", DEFAULT_METRIC)
    is_score = is_score_metric(values["metric"])
    if is_tfds(values["data_dir"]):
        values |= _FIELDS | values
    elif not {"text_columns", "label_column"} <= values.keys() or is_table_file(values["data_dir"]):
        _find_columns(values, is_score)
    if values.get("labels") is None and not is_score:
        values["labels"] = find_labels(values["data_dir"], values["text_columns"], values["label_column"])


def _find_columns(values: dict[str, Any], is_score: bool) -> None:
    path = _training_file(Path(values["data_dir"]))
    texts, label = values.get("text_columns", ()), values.get("label_column")
    check_columns(path, texts, "TEXT_COLUMNS")
    if label is None:
        values["label_column"] = label = guess_label_column(path, texts, is_score)
    else:
        check_columns(path, [label], "LABEL_COLUMN")
    if not texts:
        values["text_columns"] = (guess_text_column(path, [label]),)


def _training_file(data_dir: Path) -> Path:
    if is_table_file(data_dir):
        return data_dir
    # The columns do not matter for the name of the file.
    return FolderSource(data_dir).find_file(make_custom_task(("text",), "label", ("0", "1"), DEFAULT_METRIC), "train")


def own_task(
    data_dir: str,
    text_columns: tuple[str, ...] = (),
    label_column: str = "",
    labels: tuple[str, ...] = (),
    metric: str = DEFAULT_METRIC,
) -> Task:
    """Return the task that data of the user's own describe; columns and labels that are not given are found."""
    given = {"text_columns": text_columns, "label_column": label_column, "labels": labels}
    values: dict[str, Any] = {"data_dir": data_dir, "metric": metric}
    values |= {name: value for name, value in given.items() if value}
    complete_custom_task(values)
    return make_custom_task(values["text_columns"], values["label_column"], values.get("labels"), metric)
