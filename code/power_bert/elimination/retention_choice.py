"""The retention configuration that a user asks for: RETENTION_CONFIG of run.sh."""

from __future__ import annotations

import os
from pathlib import Path

from power_bert.elimination.retention import CLS, CLS_ALONE, Retention
from power_bert.errors import UserError, shorten
from power_bert_runtime.parsing import parse_json

NO_ELIMINATION = "none"


def resolve_retention_text(choice: str, of_model: bool = False) -> str:
    """Return the configuration that a run trains with, as text.

    Args:
        choice: "64,48,…" (tokens) or "1.0,0.8,…" (fractions), also with "[CLS]" as it is shown; or the path of a JSON
            file with "tokens".
        of_model: Whether it is for a model that has been narrowed already, so that "heads" and "neurons" in the file
            can be ignored.

    Raises:
        UserError: The file is missing, not what the search writes, or also has heads and neurons; or `choice` is
            "none".
    """
    if choice.strip().lower() == NO_ELIMINATION:
        raise UserError(
            f"RETENTION_CONFIG={choice}: without elimination there is only phase 1 to train. Give a configuration such "
            "as 1.0,0.8,0.5, or leave it empty to search one; 'none' is for evaluate and predict"
        )
    path = Path(choice)
    if path.suffix != ".json" and not os.path.isfile(path):
        cls_alone = CLS_ALONE if "." in choice else 1
        return "".join(choice.split()).replace(CLS, str(cls_alone))
    setting = f"RETENTION_CONFIG={shorten(choice)}"
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{setting} cannot be read ({getattr(error, 'strerror', error)}); give a retention.json, or a "
            "configuration such as 1.0,0.8,0.5"
        ) from None
    form = 'a JSON file with "tokens": [one number per block], as the search writes it'
    values = parse_json(data, setting, advice=f"Expected {form}.")
    # Earlier versions searched tokens alone, called "retention".
    numbers = values.get("tokens", values.get("retention")) if isinstance(values, dict) else None
    if not isinstance(numbers, list) or not numbers or not all(type(number) in (int, float) for number in numbers):
        raise UserError(f"{setting}: expected {form}")
    tokens = str(Retention.of(numbers))
    if not of_model and any(values.get(name) for name in ("heads", "neurons")):
        raise UserError(
            f"{setting} also has heads and neurons, which a RETENTION_CONFIG does not set. For its tokens alone give "
            f"{tokens}; for all of it repeat the run with its SPEEDUP or MAX_LOSS"
        )
    return tokens


def parse_retention_choice(choice: str, num_blocks: int, max_length: int) -> Retention | None:
    """Parse the configuration that `choice` names, for a model to predict with; None where it is "none".

    Raises:
        UserError: It does not fit the model (`Retention.checked`), or its file cannot be read.
    """
    if choice.strip().lower() == NO_ELIMINATION:
        return None
    return Retention.parse(resolve_retention_text(choice, of_model=True)).checked(num_blocks, max_length)
