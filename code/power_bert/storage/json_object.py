"""Reading of JSON files from elsewhere that hold one object: configurations of checkpoints and tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert_runtime.parsing import parse_json, shown


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        UserError: The file is missing, not UTF-8, not JSON or no object.
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
