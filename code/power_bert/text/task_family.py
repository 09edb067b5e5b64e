"""Test sets that a model of a task can predict: that of its task and those of its family (both MNLI sets and AX)."""

import dataclasses
from pathlib import Path

from power_bert.text.examples import has_split
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import Task


def predictable_test_sets(task: Task, data_dir: str | Path) -> list[tuple[Task, str]]:
    """Find the test sets that have data, each with its DATA_DIR; the task's own comes first.

    Args:
        task: Task of the model.
        data_dir: DATA_DIR of the model's run: the folder of the task, which may have other tasks beside it, or the
            folder of all tasks.
    """
    own = [(task, str(data_dir))] if has_split(task, "test", data_dir) else []
    return own + [found for sister in TASKS.values() if (found := _find_sister(task, sister, Path(data_dir)))]


def _find_sister(task: Task, sister: Task, data_dir: Path) -> tuple[Task, str] | None:
    if sister.family != task.family or sister.name == task.name:
        return None
    # A plain test.tsv belongs to the task of the run.
    names = tuple(name for name in sister.files["test"] if name != "test")
    named = dataclasses.replace(sister, files={"test": names})
    for folder in (data_dir, data_dir.parent):
        if has_split(named, "test", folder):
            return named, str(folder)
    return None
