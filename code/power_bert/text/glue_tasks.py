"""The GLUE tasks as a table: where the text and the label stand in the files, how a task is scored, its defaults.

To add a task, add a row to `_TASK_ROWS`.

Source of the defaults: Goyal et al., PoWER-BERT, ICML 2020 (arXiv 2001.08950), BERT-base on GLUE.
"""

import difflib
from dataclasses import dataclass
from typing import Literal

from power_bert.errors import UserError

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class TaskDefaults:
    """Settings of a task where the user gives none.

    Attributes:
        max_length: Word pieces of an example at most, with [CLS] and [SEP].
        learning_rate: Learning rate of the encoder and the head.
        soft_extract_learning_rate: Learning rate of the retention parameters in the search.
        regularization: Lambda, the weight of the retention regulariser in the search.
        batch_size: Examples of a training batch.
    """

    max_length: int
    learning_rate: float
    soft_extract_learning_rate: float
    regularization: float
    batch_size: int


@dataclass(frozen=True)
class Layout:
    """The columns of one file: all by header name (str), or all by position from 0 where there is no header (int).

    Attributes:
        text_columns: One column, or two for a task on sentence pairs.
        label_column: The label or score; None where the file has none.
        index_column: A column that must be there although only the row order counts (test files); None otherwise.
        num_columns: Columns of a file without a header; None where the header says it.
    """

    text_columns: tuple[str | int, ...]
    label_column: str | int | None = None
    index_column: str | None = None
    num_columns: int | None = None

    @property
    def has_header(self) -> bool:
        """Whether the first line of the file names the columns."""
        return self.num_columns is None


@dataclass(frozen=True)
class Task:
    """One GLUE task.

    Attributes:
        name: As the user gives it, in lower case.
        folder: Folder of the task inside the GLUE folder.
        labels: The label strings in the order of their class indices; None for regression on scores in [0, 5].
        metrics: Names of the dev metrics; the first one picks the best checkpoint.
        train_layout: Columns of train.tsv and dev.tsv.
        test_layout: Columns of test.tsv.
        prediction_file: Name of the task's file in a GLUE submission.
        test_rows: Rows of the official test set.
        defaults: Settings where the user gives none.
    """

    name: str
    folder: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    train_layout: Layout
    test_layout: Layout
    prediction_file: str
    test_rows: int
    defaults: TaskDefaults

    @property
    def is_regression(self) -> bool:
        """Whether the target is a score and not a class."""
        return self.labels is None

    @property
    def num_outputs(self) -> int:
        """Outputs of the model's head: the number of classes, or 1 for regression."""
        return 1 if self.labels is None else len(self.labels)

    def layout(self, split: Split) -> Layout:
        """The columns of a split's file."""
        return self.test_layout if split == "test" else self.train_layout


_BINARY = ("0", "1")

_TASK_ROWS = (
    Task(
        name="cola",
        folder="CoLA",
        labels=_BINARY,
        metrics=("matthews",),
        train_layout=Layout(text_columns=(3,), label_column=1, num_columns=4),
        test_layout=Layout(text_columns=("sentence",), index_column="index"),
        prediction_file="CoLA.tsv",
        test_rows=1063,
        defaults=TaskDefaults(
            max_length=64,
            learning_rate=2e-5,
            soft_extract_learning_rate=1.5e-3,
            regularization=7e-3,
            batch_size=32,
        ),
    ),
    Task(
        name="sst-2",
        folder="SST-2",
        labels=_BINARY,
        metrics=("accuracy",),
        train_layout=Layout(text_columns=("sentence",), label_column="label"),
        test_layout=Layout(text_columns=("sentence",), index_column="index"),
        prediction_file="SST-2.tsv",
        test_rows=1821,
        defaults=TaskDefaults(
            max_length=64,
            learning_rate=3e-5,
            soft_extract_learning_rate=5e-4,
            regularization=2e-4,
            batch_size=64,
        ),
    ),
    Task(
        name="mrpc",
        folder="MRPC",
        labels=_BINARY,
        metrics=("f1", "accuracy"),
        train_layout=Layout(text_columns=("#1 String", "#2 String"), label_column="Quality"),
        test_layout=Layout(text_columns=("#1 String", "#2 String"), index_column="index"),
        prediction_file="MRPC.tsv",
        test_rows=1725,
        defaults=TaskDefaults(
            max_length=128,
            learning_rate=6e-5,
            soft_extract_learning_rate=3e-3,
            regularization=3e-3,
            batch_size=64,
        ),
    ),
    Task(
        name="sts-b",
        folder="STS-B",
        labels=None,
        metrics=("spearman", "pearson"),
        train_layout=Layout(text_columns=("sentence1", "sentence2"), label_column="score"),
        test_layout=Layout(text_columns=("sentence1", "sentence2"), index_column="index"),
        prediction_file="STS-B.tsv",
        test_rows=1379,
        defaults=TaskDefaults(
            max_length=64,
            learning_rate=3e-5,
            soft_extract_learning_rate=3e-3,
            regularization=1e-3,
            batch_size=64,
        ),
    ),
    Task(
        name="wnli",
        folder="WNLI",
        labels=_BINARY,
        metrics=("accuracy",),
        train_layout=Layout(text_columns=("sentence1", "sentence2"), label_column="label"),
        test_layout=Layout(text_columns=("sentence1", "sentence2"), index_column="index"),
        prediction_file="WNLI.tsv",
        test_rows=146,
        # The paper has no row for WNLI. These are its settings of RTE, the other small inference task, but for the
        # length: the longest example of WNLI has 108 word pieces, so 128 cuts nothing.
        defaults=TaskDefaults(
            max_length=128,
            learning_rate=3e-5,
            soft_extract_learning_rate=3e-3,
            regularization=1e-3,
            batch_size=16,
        ),
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _TASK_ROWS}


def get_task(name: str) -> Task:
    """Looks a task up by its name.

    Args:
        name: One of the keys of `TASKS`.

    Raises:
        UserError: There is no such task; lists the choices and suggests the closest.
    """
    if name in TASKS:
        return TASKS[name]
    close = difflib.get_close_matches(name.lower(), TASKS, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise UserError(f"Unknown task {name!r}. {hint}Expected one of: {', '.join(TASKS)}.")
