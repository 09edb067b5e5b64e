"""Parsing of external data: every failure becomes a `UserError` that names the source.

Readers do not list expected exceptions one by one, because the parser of a library can raise any.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from power_bert_runtime.errors import UserError, shorten

# Libraries raise an OSError without a number for data that they cannot read. A damaged archive can also point to an
# invalid position in the file (EINVAL).
_OF_DATA = (None, errno.EINVAL)


@contextlib.contextmanager
def parsing(source: str | Path, expected: str, advice: str = "") -> Iterator[None]:
    """Turn any failure inside the block into a `UserError`; a `UserError` passes unchanged.

    Args:
        source: Name of the source for the message: a path, or a path and a line.
        expected: What the data should have been, as in "a safetensors file".
        advice: Sentence that says what to do.

    Raises:
        UserError: The data made the block fail. An `OSError` (a failing disk, a missing permission) and an
            interruption by the user pass unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in _OF_DATA:
            raise
        reason = shorten(error) or "no reason given"
        message = f"{source}: damaged, or not {expected} ({type(error).__name__}: {reason})"
        raise UserError(f"{message}{'. ' + advice if advice else ''}") from error


def parse_json(data: str | bytes, source: str | Path, line: int | None = None, advice: str = "") -> Any:
    """Parse one JSON value from an external source.

    Args:
        data: The text, or its UTF-8 bytes; a byte order mark is skipped.
        source: Name of the source for the message.
        line: Line number of `data` in its source; None if `data` is the whole source, where the line is computed.
        advice: Sentence that says what to do.

    Returns:
        The value; every string in it can be encoded as UTF-8.

    Raises:
        UserError: It is not JSON, is nested too deeply, has a number of thousands of digits or text with an unpaired
            surrogate. The message names the source, the line and the reason.
    """

    def fail(reason: str, its_line: int | None) -> UserError:
        place = f"{source}, line {its_line}" if its_line is not None else str(source)
        return UserError(f"{place}: not valid JSON ({reason}){'. ' + advice if advice else ''}")

    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        value = json.loads(text)
        surrogate = _unpaired_surrogate(value) if "\\u" in text else None
    except json.JSONDecodeError as error:
        raise fail(error.msg, line or error.lineno) from None
    except UnicodeDecodeError as error:
        raise fail(f"byte 0x{data[error.start]:02x} is not UTF-8", line) from None
    except RecursionError:
        raise fail("nested too deeply", line) from None
    except ValueError:  # Python refuses to convert a number of more than 4300 digits
        raise fail("a number of thousands of digits", line) from None
    if surrogate is not None:
        raise fail(f"unpaired surrogate {surrogate}", line)
    return value


def _unpaired_surrogate(value: Any) -> str | None:
    """Return the first unpaired surrogate of a parsed value, escaped as in JSON."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x}"
    return None


def shown(value: Any) -> str:
    """Return any JSON value as a short text on one line, for a message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return shorten(json.dumps(value, ensure_ascii=False))
