"""Tests of power_bert.text.glue_tasks."""

import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import TASKS, get_task
from power_bert.text.task import Task


def test_names() -> None:
    assert list(TASKS) == ["cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli-m", "mnli-mm", "qnli", "rte", "wnli", "ax"]
    assert all(get_task(name) is task and task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_row_is_consistent(task: Task) -> None:
    assert task.is_regression == (task.labels is None)
    assert task.num_outputs == (1 if task.labels is None else len(task.labels))
    assert task.is_regression == (task.score_range is not None)
    assert task.rows.keys() == task.files.keys()
    assert set(task.metrics) <= {"matthews", "accuracy", "f1", "spearman", "pearson"}
    assert task.layout("train") is task.layout("dev") is task.train_layout
    assert task.layout("test") is task.test_layout
    assert len(task.train_layout.text_columns) == len(task.test_layout.text_columns) <= 2
    assert task.train_layout.label_column is not None
    assert task.test_layout.label_column is None
    assert task.test_layout.index_column == ("id" if task.name == "qqp" else "index")
    assert task.is_pair == (task.name not in ("cola", "sst-2"))
    for layout in (task.train_layout, task.test_layout):
        kind = str if layout.has_header else int
        assert all(isinstance(column, kind) for column in layout.text_columns)


def test_defaults_of_the_paper() -> None:
    rows = {
        name: (
            task.defaults.max_length,
            task.defaults.lr_bert,
            task.defaults.lr_soft_extract,
            task.defaults.regularization,
            task.defaults.batch_size,
        )
        for name, task in TASKS.items()
        if name not in ("wnli", "ax")
    }
    assert rows == {
        "cola": (64, 2e-5, 1.5e-3, 7e-3, 32),
        "sst-2": (64, 3e-5, 5e-4, 2e-4, 64),
        "mrpc": (128, 6e-5, 3e-3, 3e-3, 64),
        "sts-b": (64, 3e-5, 3e-3, 1e-3, 64),
        "qqp": (128, 3e-5, 1e-4, 3e-4, 64),
        "mnli-m": (128, 3e-5, 2e-4, 1e-4, 64),
        "mnli-mm": (128, 3e-5, 1e-4, 1e-4, 64),
        "qnli": (128, 3e-5, 2e-4, 1.5e-4, 16),
        "rte": (256, 3e-5, 3e-3, 1e-3, 16),
    }


def test_first_metric_picks_the_checkpoint() -> None:
    assert {name: task.metrics[0] for name, task in TASKS.items()} == {
        "cola": "matthews",
        "sst-2": "accuracy",
        "mrpc": "f1",
        "sts-b": "spearman",
        "qqp": "f1",
        "mnli-m": "accuracy",
        "mnli-mm": "accuracy",
        "qnli": "accuracy",
        "rte": "accuracy",
        "wnli": "accuracy",
        "ax": "matthews",
    }


def test_the_files_of_a_submission() -> None:
    assert {task.prediction_file: task.test_rows for task in TASKS.values()} == {
        "CoLA.tsv": 1063,
        "SST-2.tsv": 1821,
        "MRPC.tsv": 1725,
        "STS-B.tsv": 1379,
        "QQP.tsv": 390965,
        "MNLI-m.tsv": 9796,
        "MNLI-mm.tsv": 9847,
        "QNLI.tsv": 5463,
        "RTE.tsv": 3000,
        "WNLI.tsv": 146,
        "AX.tsv": 1104,
    }


def test_the_mnli_family_shares_labels_and_model() -> None:
    family = [TASKS[name] for name in ("mnli-m", "mnli-mm", "ax")]
    assert {task.family for task in family} == {"mnli"}
    assert len({task.labels for task in family}) == 1
    assert [task.can_train for task in family] == [True, True, False]
    assert sum(task.family != task.name for task in TASKS.values()) == 3


@pytest.mark.parametrize(("name", "closest"), [("sst2", "sst-2"), ("CoLA", "cola"), ("stsb", "sts-b")])
def test_unknown_task_suggests_the_closest(name: str, closest: str) -> None:
    with pytest.raises(UserError, match=f"Unknown task '{name}'. Did you mean '{closest}'.*cola, sst-2, mrpc"):
        get_task(name)


def test_unknown_task_with_nothing_close() -> None:
    with pytest.raises(
        UserError,
        match=r"Unknown task ''\. Expected one of: cola, sst-2, .*ax, emotion, .*20newsgroups, acceptability-sample\.",
    ):
        get_task("")
