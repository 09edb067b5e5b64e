"""Search for all faults of a prediction file, where `read_predictions` stops at the first."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from power_bert.errors import shorten
from power_bert.text.predictions import HEADER
from power_bert.text.task import Task

MAX_LISTED = 20
_BOM = b"\xef\xbb\xbf"
_HEADER = "\t".join(HEADER).encode()
_INDEX = re.compile(rb"0|[1-9][0-9]{0,8}")
# float() alone would also accept "1_0", " 1" and digits of other scripts.
_SCORE = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass
class FaultList:
    """Faults of one file: the first `MAX_LISTED` of them, and their number.

    Attributes:
        file: Name of the file.
        listed: Messages with the file and, if known, the line.
        count: Number of all faults.
    """

    file: str
    listed: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, fault: str, line: int | None = None) -> None:
        """Count a fault, and list it if there is still room."""
        self.count += 1
        if self.count <= MAX_LISTED:
            self.listed.append(f"{self.file}{'' if line is None else f', line {line}'}: {fault}")

    def lines(self) -> list[str]:
        """Return the listed faults, with a last line for those that are not listed."""
        rest = self.count - len(self.listed)
        return self.listed + ([f"{self.file}: {rest} more faults"] if rest else [])


def find_prediction_faults(file: str, lines: Iterable[bytes], task: Task) -> FaultList:
    """Check a prediction file by the rules of the GLUE server; memory does not grow with the file.

    The rules are: header, two columns, indices from 0 without gaps or repetition, as many rows as the official test
    set, labels of the task or finite scores in range, LF as line end, no byte order mark. The last line end may be
    missing.

    Args:
        file: Name of the file, for the list.
        lines: Lines of the file with their ends.
        task: Task of the predictions.
    """
    check = _Check(FaultList(file), task)
    for number, line in enumerate(lines, start=1):
        check.add_line(number, line)
    check.finish()
    return check.faults


class _Check:
    """State of the check after some lines of a file."""

    def __init__(self, faults: FaultList, task: Task) -> None:
        self.faults = faults
        self._task = task
        self._labels = {label.encode() for label in task.labels or ()}
        self._rows = 0
        self._next_index = 0
        self._carriage_returns = 0
        self._first_carriage_return = 0

    def add_line(self, number: int, line: bytes) -> None:
        if line.endswith(b"\r\n"):
            self._carriage_returns += 1
            self._first_carriage_return = self._first_carriage_return or number
        content = line.rstrip(b"\r\n")
        if number > 1:
            self._add_row(number, content)
            return
        if content.startswith(_BOM):
            self.faults.add("begins with a byte order mark; expected none", number)
            content = content.removeprefix(_BOM)
        if content != _HEADER:
            self.faults.add(f"expected the header 'index<TAB>prediction', found {_shown(content)}", number)
            if content[:1].isdigit():  # the header is missing, and this is a row
                self._add_row(number, content)

    def finish(self) -> None:
        expected = self._task.test_rows
        if self._carriage_returns:
            more = self._carriage_returns - 1
            others = f", and so do {more} more lines" if more else ""
            self.faults.add(f"ends with CR LF{others}; expected LF alone", self._first_carriage_return)
        if self._rows != expected:
            self.faults.add(f"{self._rows} rows; expected {expected}, as in the official test set")
        if 0 < self._next_index < expected:
            self.faults.add(f"no row after index {self._next_index - 1}; expected rows up to index {expected - 1}")

    def _add_row(self, number: int, content: bytes) -> None:
        self._rows += 1
        columns = content.split(b"\t")
        if len(columns) != len(HEADER):
            found = f"{len(columns)} columns" if content else "an empty line"
            self.faults.add(f"expected 2 columns separated by a tab, found {found}", number)
            self._next_index += 1
            return
        self._check_index(number, columns[0])
        if not self._is_good(columns[1]):
            self.faults.add(f"prediction {_shown(columns[1])}: expected {_expectation(self._task)}", number)

    def _is_good(self, prediction: bytes) -> bool:
        if self._labels:
            return prediction in self._labels
        lowest, highest = self._task.score_range or (-math.inf, math.inf)
        return bool(_SCORE.fullmatch(prediction)) and lowest <= float(prediction) <= highest

    def _check_index(self, number: int, text: bytes) -> None:
        expected, last = self._next_index, self._task.test_rows - 1
        if not _INDEX.fullmatch(text):
            self.faults.add(f"index {_shown(text)}: expected {expected}, a whole number", number)
            self._next_index += 1
            return
        index = int(text)
        if index > last:
            self.faults.add(f"index {index}: the last one is {last}", number)
        elif index > expected:
            missing = str(expected) if index == expected + 1 else f"{expected} to {index - 1}"
            self.faults.add(f"index {index} before {missing}: expected indices from 0 without gaps", number)
            self._next_index = index + 1
        elif index < expected:
            self.faults.add(f"index {index} once more, or out of order: expected {expected}", number)
        else:
            self._next_index += 1


def _expectation(task: Task) -> str:
    if task.labels is not None:
        return f"one of {shorten(', '.join(task.labels))}"
    return "a number" if task.score_range is None else "a number from {:g} to {:g}".format(*task.score_range)


def _shown(text: bytes) -> str:
    return repr(text[:60].decode("utf-8", errors="replace"))
