"""Declarations of settings; checks, messages, options, help texts and the JSON form all come from them.

Settings of one kind are a class whose fields are `Annotated[type, Setting(…)]`; pydantic checks their values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Self, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, GroupedMetadata, Le
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from power_bert.config.values import parse_names
from power_bert.errors import UserError, shorten
from power_bert_runtime.parsing import parse_json, parsing

# Values must have the declared type: "3" is not a number.
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, extra="forbid")
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Setting(GroupedMetadata):
    """Declaration of a setting, in addition to the type and the default of its field.

    Attributes:
        help: Description for `--help` and docs/settings.md, without a full stop.
        unit: Unit of a number, such as "examples".
        low: Smallest value; None for no bound.
        high: Largest value; None for no bound.
        expected: Range in words, with {low} and {high} for the bounds; "" composes it from bounds and unit.
        usual: Usual values, in words.
        default: Default for users, of a setting that stored files must contain.
        default_of: Owner of the default: "task", "student" or "student or task"; "" if there is one for all.
        default_text: Default in words, if it is not a value; with `default_of="task"`, "{task}" is the task's default.
        meanings: Meaning of each choice.
        variable: Name in run.sh; "" takes the name of the field in capitals.
        option: Name of the command line option without its two dashes; "" takes the name in run.sh, with dashes.
        is_repeatable: Whether the option can be given several times.
        has_option: Whether users can give it.
        in_card: Whether model cards list it.
        counts_with: Settings of which at least one must be given for this one to have an effect.
    """

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    expected: str = ""
    usual: str = ""
    default: Any = None
    default_of: str = ""
    default_text: str = ""
    meanings: Mapping[str, str] = field(default_factory=dict)
    variable: str = ""
    option: str = ""
    is_repeatable: bool = False
    has_option: bool = True
    in_card: bool = True
    counts_with: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[object]:
        """Return the bounds for pydantic."""
        if self.low is not None:
            yield Ge(self.low)
        if self.high is not None:
            yield Le(self.high)


@dataclass(frozen=True)
class Declared:
    """Field of a class of settings.

    Attributes:
        name: Name of the field.
        setting: Declaration of the setting.
        hint: Type of the field with its annotations.
        default: Value for files without the setting; `REQUIRED` if every file must have it.
    """

    name: str
    setting: Setting
    hint: Any
    default: Any

    @property
    def variable(self) -> str:
        return self.setting.variable or self.name.upper()

    @property
    def option(self) -> str:
        """Name of the option; for a flag both names, separated by a slash."""
        name = self.setting.option or (self.setting.variable or self.name).lower().replace("_", "-")
        return f"--{name}"

    @property
    def plain_type(self) -> Any:
        """Type without annotations."""
        return get_args(self.hint)[0] if get_origin(self.hint) is Annotated else self.hint

    @property
    def types(self) -> tuple[Any, ...]:
        """Accepted types of the value, including NoneType if it may be missing."""
        is_union = get_origin(self.plain_type) in (UnionType, Union)
        return get_args(self.plain_type) if is_union else (self.plain_type,)

    @property
    def choices(self) -> tuple[str, ...]:
        """Choices of the value, or of the items of a tuple; empty if any value is possible."""
        literals = [part for kind in self.types for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
        return tuple(get_args(literals[0])) if literals else ()

    @property
    def range_text(self) -> str:
        """Range in words; "" if there is none."""
        setting = self.setting
        if setting.low is None or setting.high is None:
            return ""
        text = setting.expected or f"{{low}} to {{high}} {setting.unit}".rstrip()
        text = text.format(low=number_text(setting.low), high=number_text(setting.high))
        return f"{text} (usual: {setting.usual})" if setting.usual else text

    @property
    def kinds_text(self) -> str:
        """Accepted types in words, as in "a number or nothing"."""
        return _kinds_text(self.types)


REQUIRED = object()
_KINDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "nothing",
    dict: "names and values",
}


def _kinds_text(kinds: Iterable[Any]) -> str:
    return " or ".join(map(_kind_text, kinds))


def _kind_text(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "a text"
    if get_origin(kind) is tuple:
        return f"a list of {_kind_text(get_args(kind)[0]).split()[-1]}s"
    return _KINDS.get(get_origin(kind) or kind, "a text")


def read_by(parse: Callable[[Any], Any]) -> BeforeValidator:
    """Make pydantic convert a value with `parse`; None stays None."""
    return BeforeValidator(lambda given: None if given is None else parse(given))


def number_text(number: float) -> str:
    """Format a number in its shortest usual form: 1e-9, 0.01, 2147483647."""
    return f"{number:.10g}".replace("e-0", "e-")


@checked_dataclass(frozen=True, config=STRICT)
class Settings:
    """Base class of all settings: checks that raise errors for users, and the JSON form."""

    @classmethod
    def spelled(cls, name: str) -> str:
        """Return the user's name of a setting, for messages."""
        return name

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, given: Any, check: Any) -> Any:
        try:
            return check(given)
        except ValidationError as error:
            _refuse(cls, error, given.kwargs or {})

    def to_plain(self) -> dict[str, Any]:
        """Return the values by name; schedules, blocks and layer maps become the texts that they are parsed from."""
        return {name: _plain(getattr(self, name)) for name in declared_settings(type(self))}

    def shown(self) -> dict[str, Any]:
        """Return the settings for a model card: those that are given and have an effect in this run."""
        known = declared_settings(type(self))
        given = {name: getattr(self, name) for name, each in known.items() if each.setting.in_card}
        return {
            name: value
            for name, value in given.items()
            if value not in (None, (), "", {}) and self._has_effect(known[name].setting.counts_with)
        }

    def _has_effect(self, needed: tuple[str, ...]) -> bool:
        return not needed or any(_is_given(getattr(self, name)) for name in needed)

    def to_json(self) -> str:
        """Return the settings as JSON, for `from_json`."""
        return json.dumps(self.to_plain(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Self:
        """Create the settings from the JSON of `to_json`.

        Raises:
            UserError: The JSON is damaged or has unknown keys; the message names `source`.
        """
        values = cls._repaired(read_settings_values(text, source))
        known = declared_settings(cls)
        check_names(values, sorted(known), f"{source}: ")
        required = [name for name, setting in known.items() if setting.default is REQUIRED]
        if missing := [name for name in required if name not in values]:
            raise UserError(f"{source}: settings are missing: {', '.join(missing)}")
        with parsing(source, "the settings of a run"):
            try:
                return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
            except UserError as error:
                raise UserError(f"{source}: {error}") from None

    @classmethod
    def _repaired(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Convert the values of a file of an earlier version to the present form."""
        return stored


_DECLARED: dict[type, dict[str, Declared]] = {}


def declared_settings(cls: type[Settings]) -> Mapping[str, Declared]:
    """Return the declaration of each setting of a class by name, in order."""
    if cls not in _DECLARED:
        _DECLARED[cls] = _find_declared(cls)
    return _DECLARED[cls]


def _find_declared(cls: type[Settings]) -> dict[str, Declared]:
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for each in fields(cls):
        hint = hints[each.name]
        setting = next(note for note in hint.__metadata__ if isinstance(note, Setting))
        default = REQUIRED if each.default is MISSING else each.default
        found[each.name] = Declared(each.name, setting, hint, default)
    return found


def check_names(given: Iterable[str], known: Collection[str], where: str = "") -> None:
    """Check that all names are known.

    Raises:
        UserError: Some are unknown; the message begins with `where` and lists the known ones.
    """
    if unknown := sorted(set(given) - set(known)):
        raise UserError(f"{where}unknown settings {shorten(', '.join(unknown))}; known are {', '.join(known)}")


def given_values(cls: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a user has given: not None, "" or (); comma-separated lists as tuples.

    Raises:
        UserError: A text or a list of texts is of another type; numbers are checked by the class.
    """
    known = declared_settings(cls)
    values = {name: _listed(known[name], value) for name, value in given.items() if value not in (None, "", ())}
    for name, value in values.items():
        is_path = str in known[name].types and isinstance(value, os.PathLike)
        if not is_path and {str, tuple[str, ...]} & set(known[name].types):
            check_setting(cls, name, value)
    return values


def _listed(declared: Declared, value: Any) -> Any:
    if tuple[str, ...] not in declared.types:
        return value
    return tuple(value) if isinstance(value, list) else value if declared.setting.is_repeatable else parse_names(value)


def usual_values(cls: type[Settings]) -> dict[str, Any]:
    """Return the defaults of settings that users may omit but stored files must contain."""
    known = declared_settings(cls).items()
    return {
        name: each.setting.default
        for name, each in known
        if each.setting.default is not None and not each.setting.default_of
    }


def own_defaults(cls: type[Settings], owner: str, defaults: Any = None) -> dict[str, Any]:
    """Return the defaults that depend on the task or on the student.

    Args:
        cls: Class of the settings.
        owner: Value of `Setting.default_of`.
        defaults: Object with one attribute per default; None takes those of the declarations.
    """
    known = {name: each.setting for name, each in declared_settings(cls).items() if owner in each.setting.default_of}
    if defaults is None:
        return {name: setting.default for name, setting in known.items()}
    values = {name: getattr(defaults, name) for name in known}
    return {name: value for name, value in values.items() if value is not None}


def check_setting(cls: type[Settings], name: str, value: Any) -> None:
    """Check a single value, so that an error is raised before any work.

    Raises:
        UserError: The value has the wrong type or is out of range.
    """
    given, hint = {name: value}, declared_settings(cls)[name].hint
    try:
        TypeAdapter(dict[str, hint], config=STRICT).validate_python(given)  # type: ignore[valid-type]
    except ValidationError as error:
        _refuse(cls, error, given)


def check_types(values: Any, spelled: Callable[[str], str]) -> None:
    """Check that each field of a dataclass has its type.

    Raises:
        UserError: A field has another type; the message names it by `spelled`.
    """
    for name, hint in get_type_hints(type(values)).items():
        value, kinds = getattr(values, name), get_args(hint) if isinstance(hint, UnionType) else (hint,)
        accepted = tuple(get_origin(kind) or kind for kind in kinds)
        accepted = (*accepted, int) if float in accepted else accepted  # an integer is a number, too
        fits = isinstance(value, accepted) and not (isinstance(value, bool) and bool not in kinds)
        if not fits or (isinstance(value, tuple) and not all(isinstance(item, str) for item in value)):
            raise UserError(f"{spelled(name)}={shorten(repr(value))}: expected {_kinds_text(kinds)}")


def _is_given(value: Any) -> bool:
    """Return whether a setting has an effect; a weight of 0 has none."""
    return bool(value) and str(value) != "0"


def read_settings_values(text: str | bytes, source: str) -> dict[str, Any]:
    """Parse the JSON object in `text`; a UserError names `source` if it holds none."""
    values = parse_json(text, source)
    if not isinstance(values, dict):
        raise UserError(f"{source}: not a JSON object with the settings of a run")
    return values


def _plain(value: Any) -> Any:
    return value if type(value) in (str, int, float, bool, NoneType, tuple, dict) else str(value)


def _refuse(cls: type[Settings], error: ValidationError, given: Mapping[str, Any]) -> NoReturn:
    """Raise the first fault that pydantic found as a UserError; wrong types come before wrong values."""
    faults = error.errors(include_url=False)
    fault = next((each for each in faults if each["type"] not in _OUT_OF_RANGE), faults[0])
    if fault["type"] in ("missing", "unexpected_keyword_argument", "multiple_argument_values"):
        raise TypeError(str(error)) from None
    known, place = declared_settings(cls), fault["loc"][0]
    name = list(known)[place] if isinstance(place, int) else place
    # If the fault is in one item of a tuple, the whole tuple is shown.
    value = fault["input"] if len(fault["loc"]) == 1 else given.get(name, fault["input"])
    raise UserError(_fault_text(cls, known[name], value, fault)) from None


_OUT_OF_RANGE = ("greater_than_equal", "less_than_equal", "finite_number")


def _fault_text(cls: type[Settings], declared: Declared, value: Any, fault: Mapping[str, Any]) -> str:
    name, kind = cls.spelled(declared.name), fault["type"]
    if kind in _OUT_OF_RANGE:
        return f"{name}={shorten(value)} is out of range: expected {declared.range_text}"
    if kind == "literal_error" and isinstance(fault["input"], str):
        one_of = "some" if len(fault["loc"]) > 1 else "one"
        shown = shorten(repr(fault["input"]))
        return f"{name}={shown} is unknown: expected {one_of} of {', '.join(declared.choices)}"
    if kind == "value_error":
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        return f"{name}{' ' if name.startswith('--') else '='}{shorten(shown)}: {fault['ctx']['error']}"
    return f"{name}={shorten(repr(value))}: expected {declared.kinds_text}"
