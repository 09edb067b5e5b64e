"""Schema of the JSON files of this project: checked once on reading, so that their values can be trusted.

A form is a type, a tuple of types, ``[form of each item]``, ``{name: form}``, `Each` or, for an entry, `Maybe`. Entries
that a form does not name may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten

NUMBER = (int, float)
# Neither NaN nor infinite, and small enough not to become infinite as a float.
_LARGEST = 1e300
_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True)
class Maybe:
    """Form of an optional entry."""

    form: Any


@dataclass(frozen=True)
class Each:
    """Form of every value of an object with arbitrary names."""

    form: Any


def check_form(value: Any, form: Any, path: Path, remedy: str, place: str = "") -> None:
    """Raise a `UserError` that names the file and the entry if a value does not have its form.

    Args:
        value: Parsed JSON.
        form: Form that the value must have.
        path: Path of the file, for the message.
        remedy: What to do, for the message.
        place: Position of the value in the file, such as "history[0].scores"; "" for the whole file.
    """
    if isinstance(form, list):
        _check_type(value, (list,), path, remedy, place)
        for index, item in enumerate(value):
            check_form(item, form[0], path, remedy, f"{place}[{index}]")
    elif isinstance(form, Mapping | Each):
        _check_type(value, (dict,), path, remedy, place)
        entries = form if isinstance(form, Mapping) else dict.fromkeys(value, form.form)
        for name, of_entry in entries.items():
            inner = f"{place}.{shorten(name, 60)}" if place else shorten(name, 60)
            if name in value:
                inner_form = of_entry.form if isinstance(of_entry, Maybe) else of_entry
                check_form(value[name], inner_form, path, remedy, inner)
            elif not isinstance(of_entry, Maybe):
                raise UserError(f"{path}: damaged: {inner} is missing; {remedy}")
    else:
        _check_type(value, form if isinstance(form, tuple) else (form,), path, remedy, place)


def _check_type(value: Any, kinds: tuple[type, ...], path: Path, remedy: str, place: str) -> None:
    is_bool = isinstance(value, bool)
    fits = isinstance(value, kinds) and is_bool <= (bool in kinds)
    if not fits or (isinstance(value, NUMBER) and not abs(value) < _LARGEST):  # NaN is not less
        expected = " or ".join(_NAMES[kind] for kind in kinds)
        raise UserError(
            f"{path}: damaged: {place or 'the file'} is {shorten(repr(value), 60)}, expected {expected}; {remedy}"
        )
