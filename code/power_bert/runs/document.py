"""Reading of a run's JSON files value by value, with errors that name a missing or wrongly typed value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.runs.run_dir import read_run_json

_LARGEST = 1e300
REMEDY = "delete the file and run again, and it is made anew"


class Document:
    """JSON object of a run; a missing or wrongly typed value raises a UserError that names the file.

    Args:
        path: The file, for messages.
        values: The object.
        place: Where in the file the object stands, such as "timings.bucketed"; "" for the whole file.
    """

    def __init__(self, path: Path, values: Any, place: str = "") -> None:
        if not isinstance(values, dict):
            raise UserError(f"{path}: {place or 'the file'} is not a JSON object; {REMEDY}")
        self.path, self.values, self.place = path, values, place

    @classmethod
    def read(cls, path: Path) -> Document:
        return cls(path, read_run_json(path))

    def number(self, name: str) -> float:
        return float(self._value(name, int | float))

    def score(self, name: str) -> float | None:
        """Return a score; None if it is undefined, which is null in the file."""
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
