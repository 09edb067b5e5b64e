"""What a task is: where text and label stand in its files, how it is scored, its defaults."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


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
        label_is_optional: Whether the file may lack the label's column.
        index_column: A column of test files that must count the rows from 0, as predictions do; None otherwise.
        index_is_optional: Whether the file may lack the index column.
        num_columns: Columns of a file without a header; None where the header says it.
        header_remedy: What to do when a column is missing.
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
        """Return whether a file with these columns is to have labels: it must, or they are optional and there."""
        return self.label_column is not None and (not self.label_is_optional or self.label_column in names)

    def has_index(self, names: Collection[str]) -> bool:
        """Return whether a file with these columns is to have the index column."""
        return self.index_column is not None and (not self.index_is_optional or self.index_column in names)


@dataclass(frozen=True)
class Task:
    """One task, of GLUE or of the user.

    Attributes:
        name: As the user gives it, in lower case.
        folder: Folder of the task inside the GLUE folder.
        family: Tasks of one family have the same labels and training data: a model of one predicts all of them.
        labels: The label strings in the order of their class indices; None for regression.
        score_range: Lowest and highest score of a regression; None for classes, or where scores have no limits.
        metrics: Names of the dev metrics; the first one picks the best checkpoint.
        train_layout: Columns of the train and dev files.
        test_layout: Columns of the test file.
        files: Split -> names of its file without the ending, the preferred one first; a split that is not named does
            not exist.
        endings: File name endings that are read; how a file is read follows from its ending.
        rows: Split -> rows of the official data; empty where there is no such thing.
        prediction_file: Name of the task's file in a GLUE submission.
        defaults: Settings where the user gives none.
    """

    name: str
    folder: str
    family: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    train_layout: Layout
    test_layout: Layout
    defaults: TaskDefaults
    prediction_file: str
    score_range: tuple[float, float] | None = None
    files: Mapping[Split, tuple[str, ...]] = field(
        default_factory=lambda: {split: (split,) for split in SPLITS}, hash=False
    )
    endings: tuple[str, ...] = (".tsv",)
    rows: Mapping[Split, int] = field(default_factory=dict, hash=False)

    @property
    def is_regression(self) -> bool:
        """Whether the target is a score and not a class."""
        return self.labels is None

    @property
    def is_pair(self) -> bool:
        """Whether an example has two texts."""
        return len(self.test_layout.text_columns) == 2

    @property
    def num_outputs(self) -> int:
        """Outputs of the model's head: the number of classes, or 1 for regression."""
        return 1 if self.labels is None else len(self.labels)

    @property
    def test_rows(self) -> int:
        """Rows of the official test set."""
        return self.rows["test"]

    @property
    def can_train(self) -> bool:
        """Whether there are training data; GLUE's diagnostic set has none."""
        return "train" in self.files

    def layout(self, split: Split) -> Layout:
        """The columns of a split's file."""
        return self.test_layout if split == "test" else self.train_layout
