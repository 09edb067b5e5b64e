"""What the JSON files of a run must be: read once, checked against their form, used without further doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from power_bert.json_form import NUMBER, Each, Maybe, check_form
from power_bert.run_dir import read_json

_REMEDY = "restore it, or delete its folder to have it made again"


_SCORE = (int, float, type(None))  # null stands for an undefined score
_SCORES = Each(_SCORE)
_EPOCH = {
    "epoch": int,
    "train_loss": _SCORE,
    "scores": _SCORES,
    "train_seconds": NUMBER,
    "eval_seconds": NUMBER,
}
_METRICS = {
    "scores": _SCORES,
    "history": Maybe([_EPOCH]),
    "scores_nothing_eliminated": Maybe(_SCORES),
    "warnings": Maybe([str]),
    "seconds": Maybe(NUMBER),
    "parameters": Maybe(int),
    "teachers": Maybe([{"name": str, "sha256": str, "scores": _SCORES}]),
    "transfer_examples": Maybe(Each(int)),
}
_ENVIRONMENT = {
    "data_sha256": Maybe(Each(str)),
    "sources_sha256": Maybe(Each(str)),
    "teacher_forwards": Maybe(int),
}


def read_metrics(path: Path, scores: Sequence[str] = ()) -> dict[str, Any]:
    """Read the ``metrics.json`` of a phase.

    Args:
        path: The file.
        scores: Names of the scores that it must have.

    Raises:
        UserError: The file is missing or damaged, or an entry is missing or of the wrong kind; the message names both.
    """
    metrics = read_object(path, _METRICS)
    check_form(metrics["scores"], dict.fromkeys(scores, _SCORE), path, _REMEDY, "scores")
    return metrics


def read_environment(path: Path) -> dict[str, Any]:
    """Read the ``environment.json`` of a run; empty where there is none. Errors as of `read_metrics`."""
    return read_object(path, _ENVIRONMENT) if path.exists() else {}


def read_retention(path: Path) -> list[int | float]:
    """Read the configuration of a ``retention.json``; errors as of `read_metrics`."""
    retention: list[int | float] = read_object(path, {"retention": [NUMBER]})["retention"]
    return retention


def read_preset_retention(path: Path) -> list[int | float] | None:
    """Read the configuration in the ``config.json`` of a preset; None where its model eliminates nothing."""
    config = read_object(path, {"config": Maybe(dict)}).get("config", {})
    retention: list[int | float] | None = config.get("retention")
    if retention is not None:
        check_form(retention, [NUMBER], path, _REMEDY, "config.retention")
    return retention or None


def read_card_rows(path: Path) -> list[list[str]]:
    """Read the rows for the model card that `compare` has left; errors as of `read_metrics`."""
    rows: list[list[str]] = read_object(path, {"card": [[str]]})["card"]
    return rows


def read_object(path: Path, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        form: Name of each entry that matters → its form; None for an object of any kind.

    Raises:
        UserError: The file is missing or damaged, or an entry is missing or of the wrong kind; the message names both.
    """
    values: dict[str, Any] = read_json(path)
    check_form(values, form or {}, path, _REMEDY)
    return values
