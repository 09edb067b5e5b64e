"""Tests of power_bert.text.glue_tasks."""

import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import TASKS, Task, get_task


def test_names() -> None:
    assert list(TASKS) == ["cola", "sst-2", "mrpc", "sts-b", "wnli"]
    assert all(get_task(name) is task and task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_row_is_consistent(task: Task) -> None:
    assert task.is_regression == (task.labels is None)
    assert task.num_outputs == (1 if task.is_regression else 2)
    assert task.prediction_file == f"{task.folder}.tsv"
    assert set(task.metrics) <= {"matthews", "accuracy", "f1", "spearman", "pearson"}
    assert task.layout("train") is task.layout("dev") is task.train_layout
    assert task.layout("test") is task.test_layout
    assert len(task.train_layout.text_columns) == len(task.test_layout.text_columns) <= 2
    assert task.train_layout.label_column is not None
    assert task.test_layout.label_column is None
    assert task.test_layout.index_column == "index"
    for layout in (task.train_layout, task.test_layout):
        kind = str if layout.has_header else int
        assert all(isinstance(column, kind) for column in layout.text_columns)


def test_defaults_of_the_paper() -> None:
    rows = {
        name: (
            task.defaults.max_length,
            task.defaults.learning_rate,
            task.defaults.soft_extract_learning_rate,
            task.defaults.regularization,
            task.defaults.batch_size,
        )
        for name, task in TASKS.items()
        if name != "wnli"
    }
    assert rows == {
        "cola": (64, 2e-5, 1.5e-3, 7e-3, 32),
        "sst-2": (64, 3e-5, 5e-4, 2e-4, 64),
        "mrpc": (128, 6e-5, 3e-3, 3e-3, 64),
        "sts-b": (64, 3e-5, 3e-3, 1e-3, 64),
    }


def test_first_metric_picks_the_checkpoint() -> None:
    assert {name: task.metrics[0] for name, task in TASKS.items()} == {
        "cola": "matthews",
        "sst-2": "accuracy",
        "mrpc": "f1",
        "sts-b": "spearman",
        "wnli": "accuracy",
    }


@pytest.mark.parametrize(("name", "closest"), [("sst2", "sst-2"), ("CoLA", "cola"), ("stsb", "sts-b")])
def test_unknown_task_suggests_the_closest(name: str, closest: str) -> None:
    with pytest.raises(UserError, match=f"Unknown task '{name}'. Did you mean '{closest}'.*cola, sst-2, mrpc"):
        get_task(name)


def test_unknown_task_with_nothing_close() -> None:
    with pytest.raises(UserError, match=r"Unknown task ''\. Expected one of: cola, sst-2, mrpc, sts-b, wnli\."):
        get_task("")
