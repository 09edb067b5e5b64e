"""The form that a JSON file of this project has: checked once on reading, so that its values are used without doubt.

A form is a type, a tuple of types, ``[form of each item]``, ``{name: form}``, `Each` or, of an entry, `Maybe`. Entries
that a form does not name may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten

NUMBER = (int, float)
# Neither NaN nor infinite, nor so large that it would become infinite as a float.
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
    """The form of an entry that need not be there."""

    form: Any


@dataclass(frozen=True)
class Each:
    """The form of every value of an object whose names are free."""

    form: Any


def check_form(value: Any, form: Any, path: Path, remedy: str, place: str = "") -> None:
    """Raise a UserError where a value is not of its form; it names the file and the entry.

    Args:
        value: Parsed JSON.
        form: What it must be.
        path: Its file, for the message.
        remedy: What to do, for the message.
        place: Where in the file the value stands, such as "history[0].scores"; "" for all of it.
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
