"""Reading JSON files that hold one object and come from elsewhere: configs of checkpoints and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from power_bert.errors import UserError, shorten
from power_bert.parsing import parse_json


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        UserError: It is missing, not UTF-8, not JSON or no object.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}). Expected a JSON file; check the path and its permissions."
        ) from error
    value = parse_json(data, path, advice="Expected a JSON object; download it again")
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds {shown(value)}. Expected an object {{…}}; download it again.")
    return value


def shown(value: Any) -> str:
    """Return a JSON value for a message: short, on one line, whatever it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return shorten(json.dumps(value, ensure_ascii=False))
