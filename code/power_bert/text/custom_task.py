"""TASK=custom: the user's own data, with columns and labels named by settings."""

from pathlib import Path

from power_bert.errors import UserError
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
            f"TEXT_COLUMNS={','.join(text_columns)!r}: expected one name, or two with a comma between them for pairs"
        )
    if metric not in METRICS:
        raise UserError(f"METRIC={metric!r} is unknown: expected one of {', '.join(METRICS)}")
    if labels is not None:
        _check_labels(labels, metric)
    elif not is_score_metric(metric):
        raise UserError(f"LABELS is missing: METRIC={metric} compares classes")
    return Task(
        name=CUSTOM,
        folder="",
        family=CUSTOM,
        labels=labels,
        metrics=(metric, *(_CLASS_METRICS | _SCORE_METRICS)[metric]),
        train_layout=Layout(text_columns, label_column, header_remedy=_HEADER_REMEDY),
        test_layout=Layout(text_columns, label_column, label_is_optional=True, header_remedy=_HEADER_REMEDY),
        defaults=CUSTOM_DEFAULTS,
        prediction_file="custom.tsv",
        files={"train": ("train",), "dev": ("dev", "validation"), "test": ("test",)},
        endings=(".tsv", ".csv", ".jsonl"),
    )


_HEADER_REMEDY = "Set TEXT_COLUMNS and LABEL_COLUMN to names that are there, or correct the header."


def find_labels(data_dir: str | Path, text_columns: tuple[str, ...], label_column: str) -> tuple[str, ...]:
    """The labels of the training data: sorted, by number where all are whole numbers.

    Raises:
        UserError: The data cannot be read, or there are too many labels for classes, or less than two.
    """
    # Any two labels do: the rows are read as strings.
    task = make_custom_task(text_columns, label_column, ("0", "1"), "accuracy")
    found: set[str] = set()
    for rows in open_source(data_dir).rows(task, "train", CHUNK_ROWS):
        if rows.targets is None:
            raise UserError(f"{rows.source}: the training data have no labels")
        if "" in rows.targets:
            raise UserError(f"{rows.where(rows.targets.index(''))}: the label is empty. Expected one in every row.")
        found.update(rows.targets)
        if len(found) > _MAX_LABELS:
            raise UserError(
                f"{rows.source}: more than {_MAX_LABELS} different values in {label_column!r}, such as "
                f"{rows.targets[0]!r}. Expected classes: set LABEL_COLUMN to their column; or set METRIC=spearman if "
                "these are scores."
            )
    if len(found) < 2:
        raise UserError(
            f"{rows.source}: every row has the label {found.pop()!r}. Expected at least two labels to tell apart."
        )
    numeric = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=int) if numeric else sorted(found))


def _check_labels(labels: tuple[str, ...], metric: str) -> None:
    if is_score_metric(metric):
        raise UserError(
            f"LABELS={','.join(labels)}: METRIC={metric} compares scores, which have no labels; leave one empty"
        )
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise UserError(f"LABELS={','.join(labels)}: expected at least two different labels")
    for label in labels:
        # Predictions are written as TSV, one line each.
        if not label or set(label) & set("\t\n\r"):
            raise UserError(f"LABELS: {label!r} is not usable: expected a text without tab or line end")
