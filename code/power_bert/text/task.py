"""Definition of a task: the columns of its files, its labels and metrics, its default settings."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class TaskDefaults:
    """Default settings of a task.

    Attributes:
        max_length: Largest number of tokens of an example, including [CLS] and [SEP].
        lr_bert: Peak learning rate of the encoder and the head.
        lr_soft_extract: Peak learning rate of the retention parameters in the configuration search.
        regularization: Weight λ of the retention regularizer in the configuration search.
        batch_size: Examples per training batch.
    """

    max_length: int
    lr_bert: float
    lr_soft_extract: float
    regularization: float
    batch_size: int


@dataclass(frozen=True)
class ColumnLayout:
    """Columns of one file, all by header name (str), or all by position from 0 if there is no header (int).

    Attributes:
        text_columns: One column, or two for a task on sentence pairs.
        label_column: Label or score; None if the file has none.
        label_is_optional: Whether the file may lack the label column.
        index_column: Column of test files that must count the rows from 0, as predictions do; None if there is none.
        index_is_optional: Whether the file may lack the index column.
        num_columns: Number of columns of a file without a header; None if there is a header.
        header_remedy: What to do about a missing column, for messages.
    """

    text_columns: tuple[str | int, ...]
    label_column: str | int | None = None
    label_is_optional: bool = False
    index_column: str | None = None
    index_is_optional: bool = False
    num_columns: int | None = None
    header_remedy: str = "Correct the header or download the file again."

    @property
    def has_header(self) -> bool:
        """Whether the first line of the file names the columns."""
        return self.num_columns is None

    def has_label(self, names: Collection[str]) -> bool:
        """Return whether a file with these columns must have labels: they are required, or optional and present."""
        return self.label_column is not None and (not self.label_is_optional or self.label_column in names)

    def has_index(self, names: Collection[str]) -> bool:
        """Return whether a file with these columns must have the index column."""
        return self.index_column is not None and (not self.index_is_optional or self.index_column in names)


@dataclass(frozen=True)
class Task:
    """Task of GLUE or of the user.

    Attributes:
        name: Name in the settings, in lower case.
        folder: Folder of the task inside the GLUE folder.
        family: Tasks of one family have the same labels and training data, so a model of one predicts all of them.
        labels: Label strings of the data in the order of their class indices; None for a regression.
        names: Names of the classes in the same order; None if the labels are names.
        score_range: Lowest and highest score of a regression; None for classes and for unlimited scores.
        metrics: Names of the dev metrics; the first one selects the best epoch.
        train_layout: Columns of the train and dev files.
        test_layout: Columns of the test file.
        files: Split → names of its file without the ending, the preferred one first; other splits do not exist.
        endings: Supported file name endings; the ending decides how a file is read.
        rows: Split → number of rows of the official data; empty if there is no official data.
        prediction_file: Name of the task's file in a GLUE submission.
        defaults: Default settings.
    """

    name: str
    folder: str
    family: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    train_layout: ColumnLayout
    test_layout: ColumnLayout
    defaults: TaskDefaults
    prediction_file: str
    names: tuple[str, ...] | None = None
    score_range: tuple[float, float] | None = None
    files: Mapping[Split, tuple[str, ...]] = field(
        default_factory=lambda: {split: (split,) for split in SPLITS}, hash=False
    )
    endings: tuple[str, ...] = (".tsv",)
    rows: Mapping[Split, int] = field(default_factory=dict, hash=False)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of `labels`, which models, files and tables have; None for a regression."""
        return self.names or self.labels

    @property
    def is_regression(self) -> bool:
        """Whether the target is a score instead of a class."""
        return self.labels is None

    @property
    def is_pair(self) -> bool:
        """Whether an example has two texts."""
        return len(self.test_layout.text_columns) == 2

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the model's head: the number of classes, or 1 for a regression."""
        return 1 if self.labels is None else len(self.labels)

    @property
    def test_rows(self) -> int:
        """Number of rows of the official test set."""
        return self.rows["test"]

    @property
    def can_train(self) -> bool:
        """Whether there is training data; GLUE's diagnostic set has none."""
        return "train" in self.files

    def layout(self, split: Split) -> ColumnLayout:
        """Return the columns of a split's file."""
        return self.test_layout if split == "test" else self.train_layout
