"""TASK=custom: a task on the user's own data, with columns and labels named by settings."""

from collections.abc import Iterable
from pathlib import Path

from power_bert.errors import UserError, shorten
from power_bert.text.row_readers import CHUNK_ROWS
from power_bert.text.sources import open_source
from power_bert.text.targets import NUMBER
from power_bert.text.task import ColumnLayout, Task, TaskDefaults

CUSTOM = "custom"
# Metric → further metrics to report. A class metric makes the task a classification, a score metric a regression.
_CLASS_METRICS = {"accuracy": ("macro_f1",), "macro_f1": ("accuracy",)}
_SCORE_METRICS = {"spearman": ("pearson",), "pearson": ("spearman",)}
METRICS = (*_CLASS_METRICS, *_SCORE_METRICS)
# Above this many distinct values, the column is probably numeric or free text.
_MAX_LABELS = 1000
_LONGEST_NUMBER = 18
# Medium values of the paper's settings for small tasks.
CUSTOM_DEFAULTS = TaskDefaults(
    max_length=128,
    lr_bert=3e-5,
    lr_soft_extract=3e-3,
    regularization=1e-3,
    batch_size=32,
)


def is_score_metric(metric: str) -> bool:
    """Return whether the metric compares scores, so that the task is a regression."""
    return metric in _SCORE_METRICS


def make_custom_task(
    text_columns: tuple[str, ...], label_column: str, labels: tuple[str, ...] | None, metric: str
) -> Task:
    """Make the task that the settings describe.

    Args:
        text_columns: Header names of one column, or of two columns for pairs.
        label_column: Header name of the label or score.
        labels: Labels in the order of their class indices; None for a regression.
        metric: Metric that selects the best epoch, one of METRICS.

    Raises:
        UserError: A setting is invalid.
    """
    if len(text_columns) not in (1, 2) or not all(text_columns):
        raise UserError(
            f"TEXT_COLUMNS={shorten(repr(','.join(text_columns)))}: expected one name, or two with a comma between "
            "them for pairs"
        )
    if metric not in METRICS:
        raise UserError(f"METRIC={metric!r} is unknown: expected one of {', '.join(METRICS)}")
    if labels is not None:
        _check_labels(labels, metric)
    elif not is_score_metric(metric):
        raise UserError(f"LABELS is missing: METRIC={metric} compares classes")
    test_layout = ColumnLayout(
        text_columns,
        label_column,
        label_is_optional=True,
        index_column=None if _INDEX in (*text_columns, label_column) else _INDEX,
        index_is_optional=True,
        header_remedy=_HEADER_REMEDY,
    )
    return Task(
        name=CUSTOM,
        folder="",
        family=CUSTOM,
        labels=labels,
        metrics=(metric, *(_CLASS_METRICS | _SCORE_METRICS)[metric]),
        train_layout=ColumnLayout(text_columns, label_column, header_remedy=_HEADER_REMEDY),
        test_layout=test_layout,
        defaults=CUSTOM_DEFAULTS,
        prediction_file="custom.tsv",
        files={"train": ("train",), "dev": ("dev", "validation"), "test": ("test",)},
        endings=(".tsv", ".csv", ".jsonl"),
    )


# Column of the row number in prediction files.
_INDEX = "index"
_HEADER_REMEDY = "Set TEXT_COLUMNS and LABEL_COLUMN to names that are there, or correct the header."


def find_labels(data_dir: str | Path, text_columns: tuple[str, ...], label_column: str) -> tuple[str, ...]:
    """Return the labels of the training data, sorted; whole numbers are sorted by value.

    Raises:
        UserError: The data cannot be read, or there are too many labels, or fewer than two.
    """
    # The rows are read as strings, so any two labels will do.
    task = make_custom_task(text_columns, label_column, ("0", "1"), "accuracy")
    found: dict[str, None] = {}
    for rows in open_source(data_dir).rows(task, "train", CHUNK_ROWS):
        if rows.targets is None:
            raise UserError(f"{rows.source}: the training data have no labels")
        new = [label for label in dict.fromkeys(rows.targets) if label not in found]
        for label in new:
            if not _is_usable(label):
                problem = f"label {shorten(repr(label), 80)} holds a tab or a line end" if label else "label is empty"
                where = rows.where(rows.targets.index(label))
                raise UserError(f"{where}: the {problem}. Expected one in every row, without tab or line end.")
        found.update(dict.fromkeys(new))
        if len(found) > _MAX_LABELS:
            is_numeric = all(NUMBER.fullmatch(label) for label in found)
            raise UserError(
                f"{rows.source}: more than {_MAX_LABELS} different values in {label_column!r}, such as "
                f"{shorten(repr(rows.targets[0]))}. Expected at most that many classes: set LABEL_COLUMN to their "
                f"column{'; or set METRIC=spearman if these are scores' if is_numeric else ''}."
            )
    if len(found) < 2:
        raise UserError(
            f"{rows.source}: every row has the label {shorten(repr(*found))}. Expected at least two labels to "
            "tell apart."
        )
    return _in_order(found)


def _in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort by value if all labels are whole numbers of a usual size, else alphabetically."""
    by_alphabet = sorted(labels)
    is_numeric = all(label.isdecimal() and len(label) <= _LONGEST_NUMBER for label in by_alphabet)
    return tuple(sorted(by_alphabet, key=int) if is_numeric else by_alphabet)


def _check_labels(labels: tuple[str, ...], metric: str) -> None:
    if is_score_metric(metric):
        raise UserError(
            f"LABELS={shorten(','.join(labels))}: METRIC={metric} compares scores, which have no labels; leave one of "
            "them empty"
        )
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise UserError(f"LABELS={shorten(','.join(labels))}: expected at least two different labels")
    for label in labels:
        if not _is_usable(label):
            raise UserError(
                f"LABELS: {shorten(repr(label), 80)} is not usable: expected UTF-8 text without tab or line end"
            )


def _is_usable(label: str) -> bool:
    """Return whether a label can be written to a prediction file, which is TSV with one prediction per line."""
    return bool(label) and not set(label) & set("\t\n\r") and label.encode(errors="ignore").decode() == label
