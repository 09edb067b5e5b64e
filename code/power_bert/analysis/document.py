"""Reads the JSON files of a run value by value, and names what is missing or of the wrong kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.run_dir import read_json

_LARGEST = 1e300
REMEDY = "delete the file and run again, and it is made anew"


class Document:
    """A JSON object of the run; a missing value, or one of the wrong type, is a UserError that names the file.

    Args:
        path: the file, for messages.
        values: the object.
        place: where in the file the object stands, such as "timings.bucketed"; "" for the file itself.
    """

    def __init__(self, path: Path, values: Any, place: str = "") -> None:
        if not isinstance(values, dict):
            raise UserError(f"{path}: {place or 'the file'} is not a JSON object; {REMEDY}")
        self.path, self.values, self.place = path, values, place

    @classmethod
    def read(cls, path: Path) -> Document:
        return cls(path, read_json(path))

    def number(self, name: str) -> float:
        return float(self._value(name, int | float))

    def score(self, name: str) -> float | None:
        """A score; None where it is undefined, which the file says with null."""
        return None if name in self.values and self.values[name] is None else self.number(name)

    def part(self, name: str) -> Document:
        return Document(self.path, self._value(name, dict), self._named(name))

    def items(self, name: str) -> list[Any]:
        return list(self._value(name, list))

    def _value(self, name: str, kind: Any) -> Any:
        value = self.values.get(name)
        is_endless = isinstance(value, int | float) and not abs(value) < _LARGEST  # NaN is not less
        if isinstance(value, kind) and not isinstance(value, bool) and not is_endless:
            return value
        found = "is missing" if value is None else f"is {value!r}"
        raise UserError(f"{self.path}: {self._named(name)} {found}; {REMEDY}")

    def _named(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name
