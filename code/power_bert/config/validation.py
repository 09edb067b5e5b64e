"""Checks of the task that settings describe, and comparison of stored with present settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic.dataclasses import dataclass

from power_bert.config.settings import STRICT, Settings
from power_bert.errors import UserError, shorten
from power_bert.text.custom_task import CUSTOM, make_custom_task
from power_bert.text.glue_tasks import get_task
from power_bert.text.labeled_sets import SAMPLE
from power_bert.text.task import Task

# Settings that apply to TASK=custom only.
CUSTOM_SETTINGS = ("text_columns", "label_column", "labels", "metric")
# Maps the name of a field to the user's name of the setting.
Variable = Callable[[str], str]


class TaskSettings(Protocol):
    """Settings that describe the task."""

    @property
    def task(self) -> str: ...

    @property
    def text_columns(self) -> tuple[str, ...] | None: ...

    @property
    def label_column(self) -> str | None: ...

    @property
    def labels(self) -> tuple[str, ...] | None: ...

    @property
    def metric(self) -> str | None: ...


class TrainingSettings(Protocol):
    """Settings that every training has."""

    @property
    def task(self) -> str: ...

    @property
    def data_dir(self) -> str: ...

    @property
    def output_dir(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def max_length(self) -> int: ...

    @property
    def seed(self) -> int: ...

    @property
    def task_definition(self) -> Task: ...

    @classmethod
    def spelled(cls, name: str) -> str: ...

    def shown(self) -> dict[str, Any]: ...

    def to_plain(self) -> dict[str, Any]: ...

    def to_json(self) -> str: ...


def task_of(settings: TaskSettings) -> Task:
    """Return the task of the settings: a row of the task table, or a custom task."""
    if settings.task != CUSTOM:
        return get_task(settings.task)
    if settings.text_columns is None or settings.label_column is None or settings.metric is None:
        raise UserError(f"TASK={CUSTOM} needs TEXT_COLUMNS, LABEL_COLUMN and METRIC")
    return make_custom_task(settings.text_columns, settings.label_column, settings.labels, settings.metric)


@dataclass(frozen=True, config=STRICT)
class RunSettings(Settings):
    """Base class of the settings of all runs: they have a task."""

    @property
    def task_definition(self: TaskSettings) -> Task:
        """Return the task of the settings: a row of the task table, or a custom task."""
        return task_of(self)

    @classmethod
    def _repaired(cls, stored: dict[str, Any]) -> dict[str, Any]:
        return {**stored, "task": present_task_name(stored)} if "task" in stored else stored


def present_task_name(values: Mapping[str, Any]) -> Any:
    """Return the name of the task; earlier versions stored the generated sample in sample/CoLA as cola."""
    is_sample = values["task"] == "cola" and Path(str(values.get("data_dir"))).parts[-2:] == ("sample", "CoLA")
    return SAMPLE if is_sample else values["task"]


def check_task(settings: TaskSettings, variable: Variable) -> None:
    """Check that the task is known, and that settings of a custom task are given for a custom task only."""
    given = [variable(name) for name in CUSTOM_SETTINGS if getattr(settings, name) is not None]
    if settings.task != CUSTOM and given:
        raise UserError(f"{', '.join(given)}: only for TASK={CUSTOM}, not for TASK={settings.task}; leave empty")
    _ = task_of(settings)


def differing_settings(
    stored: Mapping[str, Any], present: Mapping[str, Any], but_for: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return the stored and the present value of each setting that differs."""
    return {
        name: (stored.get(name), value)
        for name, value in present.items()
        if name not in but_for and stored.get(name) != value
    }


def list_differences(different: Mapping[str, tuple[Any, Any]]) -> str:
    """Format differing settings for messages, as in "epochs: 3 there, 5 now"."""
    return "; ".join(
        f"{name}: {shorten(repr(old))} there, {shorten(repr(new))} now" for name, (old, new) in different.items()
    )
