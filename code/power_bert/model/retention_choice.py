"""The retention configuration that a user asks for: RETENTION_CONFIG of run.sh."""

from __future__ import annotations

import os
from pathlib import Path

from power_bert.errors import UserError, shorten
from power_bert.model.retention import Retention, format_retention, parse_retention
from power_bert.parsing import parse_json

NO_ELIMINATION = "none"


def resolve_retention_text(choice: str) -> str:
    """A configuration as text, for a run that trains with it: that of a retention.json where `choice` is its path.

    Args:
        choice: "64,48,…" (word-vectors), "1.0,0.8,…" (shares), or the path of a JSON file with "retention".

    Raises:
        UserError: the file is missing or not what the search writes, or `choice` is "none".
    """
    if choice.strip().lower() == NO_ELIMINATION:
        raise UserError(
            f"RETENTION_CONFIG={choice}: there is nothing to train without elimination but phase 1. Give a "
            "configuration such as 1.0,0.8,0.5, or nothing, and it is searched; 'none' is for evaluate and predict"
        )
    path = Path(choice)
    if path.suffix != ".json" and not os.path.isfile(path):
        return "".join(choice.split())
    setting = f"RETENTION_CONFIG={shorten(choice)}"
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{setting} cannot be read ({getattr(error, 'strerror', error)}); give a retention.json, or a "
            "configuration such as 1.0,0.8,0.5"
        ) from None
    form = 'a JSON file with "retention": [one number a block], as the search writes it'
    values = parse_json(data, setting, advice=f"Expected {form}.")
    numbers = values.get("retention") if isinstance(values, dict) else None
    if not isinstance(numbers, list) or not numbers or not all(type(number) in (int, float) for number in numbers):
        raise UserError(f"{setting}: expected {form}")
    return format_retention(numbers)


def parse_retention_choice(choice: str, num_layers: int, max_length: int) -> Retention | None:
    """The configuration that `choice` names, for a model to predict with; None where it is "none".

    Raises:
        UserError: it breaks a rule of `check_retention`, or its file cannot be read.
    """
    if choice.strip().lower() == NO_ELIMINATION:
        return None
    return parse_retention(resolve_retention_text(choice), num_layers, max_length)
