"""TASK=custom: the user's own data, with columns and labels named by settings."""

from collections.abc import Iterable
from pathlib import Path

from power_bert.errors import UserError, shorten
from power_bert.text.row_readers import CHUNK_ROWS
from power_bert.text.sources import open_source
from power_bert.text.task import Layout, Task, TaskDefaults

CUSTOM = "custom"
# METRIC -> further metrics that are reported. What the metric scores decides what the model predicts.
_CLASS_METRICS = {"accuracy": ("macro_f1",), "macro_f1": ("accuracy",)}
_SCORE_METRICS = {"spearman": ("pearson",), "pearson": ("spearman",)}
METRICS = (*_CLASS_METRICS, *_SCORE_METRICS)
# More are rather scores, or a column of texts.
_MAX_LABELS = 1000
_LONGEST_NUMBER = 18
# Middling values of the paper's small tasks.
CUSTOM_DEFAULTS = TaskDefaults(
    max_length=128,
    learning_rate=3e-5,
    soft_extract_learning_rate=3e-3,
    regularization=1e-3,
    batch_size=32,
)


def is_score_metric(metric: str) -> bool:
    """Whether the metric compares scores, so that the task is a regression."""
    return metric in _SCORE_METRICS


def make_custom_task(
    text_columns: tuple[str, ...], label_column: str, labels: tuple[str, ...] | None, metric: str
) -> Task:
    """The task that the settings describe.

    Args:
        text_columns: Header names of one column, or of two for pairs.
        label_column: Header name.
        labels: In the order of their class indices; None for a regression.
        metric: One of METRICS; picks the best checkpoint.

    Raises:
        UserError: A setting is not as expected.
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
    test_layout = Layout(
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
        train_layout=Layout(text_columns, label_column, header_remedy=_HEADER_REMEDY),
        test_layout=test_layout,
        defaults=CUSTOM_DEFAULTS,
        prediction_file="custom.tsv",
        files={"train": ("train",), "dev": ("dev", "validation"), "test": ("test",)},
        endings=(".tsv", ".csv", ".jsonl"),
    )


# The name that predictions give to the number of a row.
_INDEX = "index"
_HEADER_REMEDY = "Set TEXT_COLUMNS and LABEL_COLUMN to names that are there, or correct the header."


def find_labels(data_dir: str | Path, text_columns: tuple[str, ...], label_column: str) -> tuple[str, ...]:
    """The labels of the training data: sorted, by number where all are whole numbers.

    Raises:
        UserError: The data cannot be read, or there are too many labels for classes, or less than two.
    """
    # Any two labels do: the rows are read as strings.
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
            raise UserError(
                f"{rows.source}: more than {_MAX_LABELS} different values in {label_column!r}, such as "
                f"{shorten(repr(rows.targets[0]))}. Expected classes: set LABEL_COLUMN to their column; or set "
                "METRIC=spearman if these are scores."
            )
    if len(found) < 2:
        raise UserError(
            f"{rows.source}: every row has the label {shorten(repr(next(iter(found))))}. Expected two labels at least to "
            "tell apart."
        )
    return _in_order(found)


def _in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort by number where all are whole numbers of a usual size, else by the alphabet."""
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
    """Return whether a label can stand in a predictions file, which is TSV with one prediction a line."""
    return bool(label) and not set(label) & set("\t\n\r") and label.encode(errors="ignore").decode() == label
