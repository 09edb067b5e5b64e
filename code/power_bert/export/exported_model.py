"""An exported file of this project as a model that evaluates and predicts texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from power_bert.config.own_data import own_task
from power_bert.config.shared_settings import DEFAULT_METRIC
from power_bert.errors import UserError
from power_bert.export.description import shown_retention
from power_bert.predict.exported_predictor import ExportedPredictor
from power_bert.predict.usable_model import UsableModel
from power_bert.text.custom_task import make_custom_task
from power_bert.text.glue_tasks import TASKS, get_task
from power_bert.text.labeled_sets import LABELED_TASKS
from power_bert.text.table_rows import is_table_file
from power_bert.text.task import Task
from power_bert_runtime import Classifier


def load_exported(path: Path, task: Task | None, data_dir: str | None, threads: int | None = None) -> UsableModel:
    """Load an exported classifier.

    Args:
        path: A .tflite, .onnx or .xml file.
        task: Task that it is asked for; None takes the one that the file names.
        data_dir: Where the data lie; None if that is not known.
        threads: CPU threads; None for all cores.

    Raises:
        UserError: The file is damaged, lacks vocabulary or settings, or has other classes than the task.
    """
    classifier = Classifier(path, threads=threads)
    names, settings = None if classifier.is_regression else classifier.labels, classifier.metadata
    own = _task_of(settings, names, data_dir)
    # The labels of its own task may have got other names in the export.
    if task is not None and task.family != own.family and not _are_classes_of(task, names):
        raise UserError(
            f"{path}: its classes are {_listed(names)}, and those of {task.name} are {_listed(task.labels)}; give the "
            "--task and --data-dir that it was trained for"
        )
    shown = shown_retention(settings)
    retention = f"{shown} (the file's own)" if shown else "none: nothing is eliminated"
    return UsableModel(str(path), task or own, data_dir, retention, ExportedPredictor(classifier))


def _task_of(settings: Mapping[str, Any], labels: tuple[str, ...] | None, data_dir: str | None) -> Task:
    """Return the task that a file names, or one on data of the user's own with its labels."""
    name = settings.get("task")
    has_own_data = data_dir is not None and is_table_file(data_dir)
    if not has_own_data and (name in TASKS or name in LABELED_TASKS):
        return get_task(name)
    metric = "spearman" if labels is None else DEFAULT_METRIC
    if data_dir:
        return own_task(data_dir, labels=labels or (), metric=metric)
    columns = ("text", "second_text") if settings.get("pairs") else ("text",)
    return make_custom_task(columns, "label", labels, metric)


def _are_classes_of(task: Task, names: tuple[str, ...] | None) -> bool:
    """Return whether classes, in their order, are those of a task, perhaps by other names ("acceptable" for "1")."""
    if names is None or task.labels is None:
        return names is task.labels
    from power_bert.model.trained_classifier import class_order  # imports Keras

    order = class_order(names, task)
    return order is not None and order.tolist() == list(range(len(names)))


def _listed(labels: tuple[str, ...] | None) -> str:
    return "none (a score)" if labels is None else ", ".join(labels)
