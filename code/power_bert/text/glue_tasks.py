"""Table of the GLUE tasks. To add a task, add a row to `_TASK_ROWS`.

Layouts, metrics and row counts: files and guidelines of https://gluebenchmark.com.
Defaults: Goyal et al., PoWER-BERT, ICML 2020 (arXiv 2001.08950), BERT-base on GLUE.
"""

import difflib

from power_bert.errors import UserError, shorten
from power_bert.text.labeled_sets import LABELED_TASKS
from power_bert.text.task import ColumnLayout, Split, Task, TaskDefaults

_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_MNLI_LABELS = ("contradiction", "entailment", "neutral")
_MNLI_TRAIN = ColumnLayout(text_columns=("sentence1", "sentence2"), label_column="gold_label")
_SENTENCE_PAIR = ("sentence1", "sentence2")


def _test_layout(*text_columns: str, index_column: str = "index") -> ColumnLayout:
    return ColumnLayout(text_columns=text_columns, index_column=index_column)


def _rows(train: int, dev: int, test: int) -> dict[Split, int]:
    return {"train": train, "dev": dev, "test": test}


def _mnli_files(section: str) -> dict[Split, tuple[str, ...]]:
    """Return MNLI's file names: GLUE names them after the section, some copies with one section use the usual names."""
    return {"train": ("train",), "dev": (f"dev_{section}", "dev"), "test": (f"test_{section}", "test")}


_TASK_ROWS = (
    Task(
        name="cola",
        folder="CoLA",
        family="cola",
        labels=_BINARY,
        names=("unacceptable", "acceptable"),
        metrics=("matthews",),
        train_layout=ColumnLayout(text_columns=(3,), label_column=1, num_columns=4),
        test_layout=_test_layout("sentence"),
        prediction_file="CoLA.tsv",
        rows=_rows(8551, 1043, 1063),
        defaults=TaskDefaults(
            max_length=64,
            lr_bert=2e-5,
            lr_soft_extract=1.5e-3,
            regularization=7e-3,
            batch_size=32,
        ),
    ),
    Task(
        name="sst-2",
        folder="SST-2",
        family="sst-2",
        labels=_BINARY,
        names=("negative", "positive"),
        metrics=("accuracy",),
        train_layout=ColumnLayout(text_columns=("sentence",), label_column="label"),
        test_layout=_test_layout("sentence"),
        prediction_file="SST-2.tsv",
        rows=_rows(67349, 872, 1821),
        defaults=TaskDefaults(
            max_length=64,
            lr_bert=3e-5,
            lr_soft_extract=5e-4,
            regularization=2e-4,
            batch_size=64,
        ),
    ),
    Task(
        name="mrpc",
        folder="MRPC",
        family="mrpc",
        labels=_BINARY,
        names=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        train_layout=ColumnLayout(text_columns=("#1 String", "#2 String"), label_column="Quality"),
        test_layout=_test_layout("#1 String", "#2 String"),
        prediction_file="MRPC.tsv",
        rows=_rows(3668, 408, 1725),
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=6e-5,
            lr_soft_extract=3e-3,
            regularization=3e-3,
            batch_size=64,
        ),
    ),
    Task(
        name="sts-b",
        folder="STS-B",
        family="sts-b",
        labels=None,
        score_range=(0.0, 5.0),
        metrics=("spearman", "pearson"),
        train_layout=ColumnLayout(text_columns=_SENTENCE_PAIR, label_column="score"),
        test_layout=_test_layout(*_SENTENCE_PAIR),
        prediction_file="STS-B.tsv",
        rows=_rows(5749, 1500, 1379),
        defaults=TaskDefaults(
            max_length=64,
            lr_bert=3e-5,
            lr_soft_extract=3e-3,
            regularization=1e-3,
            batch_size=64,
        ),
    ),
    Task(
        name="qqp",
        folder="QQP",
        family="qqp",
        labels=_BINARY,
        names=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        train_layout=ColumnLayout(text_columns=("question1", "question2"), label_column="is_duplicate"),
        test_layout=_test_layout("question1", "question2", index_column="id"),
        prediction_file="QQP.tsv",
        rows=_rows(363846, 40430, 390965),
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=3e-5,
            lr_soft_extract=1e-4,
            regularization=3e-4,
            batch_size=64,
        ),
    ),
    Task(
        name="mnli-m",
        folder="MNLI",
        family="mnli",
        labels=_MNLI_LABELS,
        metrics=("accuracy",),
        train_layout=_MNLI_TRAIN,
        test_layout=_test_layout(*_SENTENCE_PAIR),
        files=_mnli_files("matched"),
        prediction_file="MNLI-m.tsv",
        rows=_rows(392702, 9815, 9796),
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=3e-5,
            lr_soft_extract=2e-4,
            regularization=1e-4,
            batch_size=64,
        ),
    ),
    Task(
        name="mnli-mm",
        folder="MNLI",
        family="mnli",
        labels=_MNLI_LABELS,
        metrics=("accuracy",),
        train_layout=_MNLI_TRAIN,
        test_layout=_test_layout(*_SENTENCE_PAIR),
        files=_mnli_files("mismatched"),
        prediction_file="MNLI-mm.tsv",
        rows=_rows(392702, 9832, 9847),
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=3e-5,
            lr_soft_extract=1e-4,
            regularization=1e-4,
            batch_size=64,
        ),
    ),
    Task(
        name="qnli",
        folder="QNLI",
        family="qnli",
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        train_layout=ColumnLayout(text_columns=("question", "sentence"), label_column="label"),
        test_layout=_test_layout("question", "sentence"),
        prediction_file="QNLI.tsv",
        rows=_rows(104743, 5463, 5463),
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=3e-5,
            lr_soft_extract=2e-4,
            regularization=1.5e-4,
            batch_size=16,
        ),
    ),
    Task(
        name="rte",
        folder="RTE",
        family="rte",
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        train_layout=ColumnLayout(text_columns=_SENTENCE_PAIR, label_column="label"),
        test_layout=_test_layout(*_SENTENCE_PAIR),
        prediction_file="RTE.tsv",
        rows=_rows(2490, 277, 3000),
        defaults=TaskDefaults(
            max_length=256,
            lr_bert=3e-5,
            lr_soft_extract=3e-3,
            regularization=1e-3,
            batch_size=16,
        ),
    ),
    Task(
        name="wnli",
        folder="WNLI",
        family="wnli",
        labels=_BINARY,
        names=("not_entailment", "entailment"),
        metrics=("accuracy",),
        train_layout=ColumnLayout(text_columns=_SENTENCE_PAIR, label_column="label"),
        test_layout=_test_layout(*_SENTENCE_PAIR),
        prediction_file="WNLI.tsv",
        rows=_rows(635, 71, 146),
        # The paper has no row for WNLI. These are its settings for RTE, the other small inference task, with a smaller
        # maximum length: the longest example of WNLI has 108 tokens.
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=3e-5,
            lr_soft_extract=3e-3,
            regularization=1e-3,
            batch_size=16,
        ),
    ),
    Task(
        name="ax",
        folder="AX",
        family="mnli",
        labels=_MNLI_LABELS,
        metrics=("matthews",),
        train_layout=_MNLI_TRAIN,
        test_layout=_test_layout(*_SENTENCE_PAIR),
        # The usual download script writes diagnostic.tsv; the file on GLUE's server is AX.tsv.
        files={"test": ("diagnostic", "AX")},
        prediction_file="AX.tsv",
        rows={"test": 1104},
        # Never trained, because an MNLI model predicts it. These are the settings of mnli-m.
        defaults=TaskDefaults(
            max_length=128,
            lr_bert=3e-5,
            lr_soft_extract=2e-4,
            regularization=1e-4,
            batch_size=64,
        ),
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _TASK_ROWS}


def get_task(name: str) -> Task:
    """Return the task of a name.

    Args:
        name: Key of `TASKS` or `LABELED_TASKS`.

    Raises:
        UserError: There is no such task; the message lists all names and suggests the closest one.
    """
    known = TASKS | LABELED_TASKS
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise UserError(f"Unknown task {shorten(repr(name))}. {hint}Expected one of: {', '.join(known)}.")
