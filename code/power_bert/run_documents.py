"""What the JSON files of a run must be: read once, checked against their form, used without further doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.run_dir import read_json

_LARGEST = 1e300
_REMEDY = "restore it, or delete its folder to have it made again"


@dataclass(frozen=True)
class _Optional:
    """The form of an entry that need not be there."""

    form: Any


@dataclass(frozen=True)
class _Each:
    """The form of every value of an object whose names are free."""

    form: Any


# A form is a type, a tuple of types, [form of each item], {name: form} or one of the two above.
_NUMBER = (int, float)
_SCORE = (int, float, type(None))  # null stands for an undefined score
_SCORES = _Each(_SCORE)
_EPOCH = {
    "epoch": int,
    "train_loss": _SCORE,
    "scores": _SCORES,
    "train_seconds": _NUMBER,
    "eval_seconds": _NUMBER,
}
_METRICS = {
    "scores": _SCORES,
    "history": _Optional([_EPOCH]),
    "seconds": _Optional(_NUMBER),
    "parameters": _Optional(int),
    "teachers": _Optional([{"name": str, "sha256": str, "scores": _SCORES}]),
    "transfer_examples": _Optional(_Each(int)),
}
_ENVIRONMENT = {
    "data_sha256": _Optional(_Each(str)),
    "sources_sha256": _Optional(_Each(str)),
    "teacher_forwards": _Optional(int),
}


def read_metrics(path: Path, scores: Sequence[str] = ()) -> dict[str, Any]:
    """Read the ``metrics.json`` of a phase.

    Args:
        path: The file.
        scores: Names of the scores that it must have.

    Raises:
        UserError: The file is missing or damaged, or an entry is missing or of the wrong kind; the message names both.
    """
    metrics = read_object(path, _METRICS)
    _check(metrics["scores"], dict.fromkeys(scores, _SCORE), path, "scores")
    return metrics


def read_environment(path: Path) -> dict[str, Any]:
    """Read the ``environment.json`` of a run; empty where there is none. Errors as of `read_metrics`."""
    return read_object(path, _ENVIRONMENT) if path.exists() else {}


def read_retention(path: Path) -> list[int | float]:
    """Read the configuration of a ``retention.json``; errors as of `read_metrics`."""
    retention: list[int | float] = read_object(path, {"retention": [_NUMBER]})["retention"]
    return retention


def read_card_rows(path: Path) -> list[list[str]]:
    """Read the rows for the model card that `compare` has left; errors as of `read_metrics`."""
    rows: list[list[str]] = read_object(path, {"card": [[str]]})["card"]
    return rows


def read_object(path: Path, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        form: Name of each entry that matters → its form; None for an object of any kind.

    Raises:
        UserError: The file is missing or damaged, or an entry is missing or of the wrong kind; the message names both.
    """
    values: dict[str, Any] = read_json(path)
    _check(values, form or {}, path, "")
    return values


def _check(value: Any, form: Any, path: Path, place: str) -> None:
    """Raise a UserError where a value is not of its form.

    Args:
        value: Parsed JSON.
        form: What it must be.
        path: Its file, for the message.
        place: Where in the file it stands, such as "history[0].scores"; "" for all of it.
    """
    if isinstance(form, list):
        _check_type(value, (list,), path, place)
        for index, item in enumerate(value):
            _check(item, form[0], path, f"{place}[{index}]")
    elif isinstance(form, Mapping | _Each):
        _check_type(value, (dict,), path, place)
        entries = form if isinstance(form, Mapping) else dict.fromkeys(value, form.form)
        for name, of_entry in entries.items():
            inner = f"{place}.{name}" if place else name
            is_optional = isinstance(of_entry, _Optional)
            if name in value:
                _check(value[name], of_entry.form if is_optional else of_entry, path, inner)
            elif not is_optional:
                raise UserError(f"{path}: {inner} is missing; {_REMEDY}")
    else:
        _check_type(value, form if isinstance(form, tuple) else (form,), path, place)


def _check_type(value: Any, kinds: tuple[type, ...], path: Path, place: str) -> None:
    is_endless = isinstance(value, int | float) and not abs(value) < _LARGEST  # NaN is not less
    if not isinstance(value, kinds) or isinstance(value, bool) or is_endless:
        expected = " or ".join(_NAMES[kind] for kind in kinds)
        raise UserError(f"{path}: {place or 'the file'} is {shorten(repr(value), 60)}, expected {expected}; {_REMEDY}")


_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
