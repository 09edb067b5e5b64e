"""What all kinds of settings have in common: types, ranges and choices that are checked, the task, JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from power_bert.errors import UserError, shorten
from power_bert.parsing import parse_json, parsing
from power_bert.text.custom_task import CUSTOM, make_custom_task
from power_bert.text.glue_tasks import get_task
from power_bert.text.labelled_sets import SAMPLE
from power_bert.text.task import Task

# Added to the root of the mean squared gradient, as in BERT, where a student or the user wants no other.
ADAMW_EPSILON = 1e-6
# Fields that only TASK=custom has.
CUSTOM_SETTINGS = ("text_columns", "label_column", "labels", "metric")
# Name of a field → (lowest, highest, how to say it).
Ranges = Mapping[str, tuple[float, float, str]]
# Name of a field → how the user calls it.
Variable = Callable[[str], str]
Settings = TypeVar("Settings")


class TaskSettings(Protocol):
    """The settings that say what the task is."""

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
    """The settings that every training has."""

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

    def to_json(self) -> str: ...


def task_of(settings: TaskSettings) -> Task:
    """The row of the task table, or the task that the settings of a custom one describe."""
    if settings.task != CUSTOM:
        return get_task(settings.task)
    if settings.text_columns is None or settings.label_column is None or settings.metric is None:
        raise UserError(f"TASK={CUSTOM} needs TEXT_COLUMNS, LABEL_COLUMN and METRIC")
    return make_custom_task(settings.text_columns, settings.label_column, settings.labels, settings.metric)


def present_task_name(values: Mapping[str, Any]) -> Any:
    """The name of the task; earlier versions called the generated sample, which they put into sample/CoLA, cola."""
    is_sample = values["task"] == "cola" and Path(str(values.get("data_dir"))).parts[-2:] == ("sample", "CoLA")
    return SAMPLE if is_sample else values["task"]


def check_task(settings: TaskSettings, variable: Variable) -> None:
    """The task is known, and the settings of a custom task are there if, and only if, it is one."""
    given = [variable(name) for name in CUSTOM_SETTINGS if getattr(settings, name) is not None]
    if settings.task != CUSTOM and given:
        raise UserError(f"{', '.join(given)}: only for TASK={CUSTOM}, not for TASK={settings.task}; leave empty")
    _ = task_of(settings)


def check_types(settings: Any, variable: Variable) -> None:
    """Raises a UserError where a field of a dataclass has not the type that is declared."""
    for name, hint in get_type_hints(type(settings)).items():
        value, kinds = getattr(settings, name), _kinds(hint)
        accepted = (*kinds, int) if float in kinds else kinds  # a whole number is a number too
        fits = isinstance(value, accepted) and not (isinstance(value, bool) and bool not in kinds)
        if not fits or (isinstance(value, tuple) and not all(isinstance(item, str) for item in value)):
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise UserError(f"{variable(name)}={shorten(repr(value))}: expected {expected}")


def check_ranges(settings: Any, ranges: Ranges, variable: Variable) -> None:
    """Raises a UserError where a number is out of range; None is in every range."""
    for name, (low, high, shown) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"{variable(name)}={shorten(value)} is out of range: expected {shown}")


def check_choices(settings: Any, choices: Mapping[str, tuple[str, ...]], variable: Variable) -> None:
    """Raises a UserError that lists the choices where a value is none of them."""
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            given = shorten(repr(getattr(settings, name)))
            raise UserError(f"{variable(name)}={given} is unknown: expected one of {', '.join(known)}")


def settings_from_json(cls: type[Settings], text: str | bytes, source: str) -> Settings:
    """Reads a dataclass of settings; a UserError names `source` where it is damaged or has unknown keys."""
    values = read_settings_values(text, source)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        listed = shorten(", ".join(unknown))
        raise UserError(f"{source}: unknown settings {listed}; known are {', '.join(sorted(fields))}")
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    if missing := [name for name in required if name not in values]:
        raise UserError(f"{source}: settings are missing: {', '.join(missing)}")
    if "task" in values:
        values["task"] = present_task_name(values)
    restored: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    with parsing(source, "the settings of a run"):
        try:
            return cls(**restored)
        except UserError as error:
            raise UserError(f"{source}: {error}") from None


def read_settings_values(text: str | bytes, source: str) -> dict[str, Any]:
    """The JSON object in `text`; a UserError names `source` where there is none."""
    values = parse_json(text, source)
    if not isinstance(values, dict):
        raise UserError(f"{source}: not a JSON object with the settings of a run")
    return values


def settings_to_json(settings: Any) -> str:
    """What `settings_from_json` reads."""
    return json.dumps(dataclasses.asdict(settings), indent=2) + "\n"


def differing_settings(
    stored: Mapping[str, Any], present: Mapping[str, Any], but_for: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Setting → its stored and its present value, where they differ."""
    return {
        name: (stored.get(name), value)
        for name, value in present.items()
        if name not in but_for and stored.get(name) != value
    }


def list_differences(different: Mapping[str, tuple[Any, Any]]) -> str:
    """For messages: setting → its stored and its present value, as in "epochs: 3 there, 5 now"."""
    return "; ".join(
        f"{name}: {shorten(repr(old))} there, {shorten(repr(new))} now" for name, (old, new) in different.items()
    )


def _kinds(hint: Any) -> tuple[type, ...]:
    """The types that a field takes: (tuple, NoneType) of `tuple[str, ...] | None`."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(get_origin(part) or part for part in parts)


_KINDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of texts",
    type(None): "nothing",
}
