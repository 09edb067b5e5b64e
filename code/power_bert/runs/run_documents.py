"""The JSON files of a run, checked against their expected form when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from power_bert.elimination.configuration import EncoderConfiguration
from power_bert.elimination.retention import Retention
from power_bert.runs.run_dir import read_run_json
from power_bert.storage.json_form import NUMBER, Each, Maybe, check_form

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
    """Read the ``environment.json`` of a run; empty if there is none. Raises like `read_metrics`."""
    return read_object(path, _ENVIRONMENT) if path.exists() else {}


def read_configuration(path: Path) -> EncoderConfiguration:
    """Read the configuration of a ``retention.json``; earlier versions searched tokens alone, called "retention".

    Raises:
        UserError: As `read_metrics`.
    """
    stored = read_object(path)
    tokens = "retention" if "retention" in stored else "tokens"
    check_form(stored, {tokens: [NUMBER], "heads": Maybe([int]), "neurons": Maybe([int])}, path, _REMEDY)
    return EncoderConfiguration.from_json({**stored, "tokens": stored[tokens]})


def read_retention(path: Path) -> Retention:
    """Read the retention configuration of a ``retention.json``; errors as `read_metrics`."""
    return read_configuration(path).tokens


def read_preset_retention(path: Path) -> Retention | None:
    """Read the configuration in the ``config.json`` of a preset; None if its model eliminates nothing."""
    values = read_object(path, {"config": Maybe(dict)}).get("config", {}).get("retention")
    if values is not None:
        check_form(values, [NUMBER], path, _REMEDY, "config.retention")
    return Retention.of(values) if values else None


def read_card_rows(path: Path) -> list[list[str]]:
    """Read the rows for the model card that `compare` wrote. Raises like `read_metrics`."""
    rows: list[list[str]] = read_object(path, {"card": [[str]]})["card"]
    return rows


def read_object(path: Path, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        form: Form of each checked entry by name; None accepts any object.

    Raises:
        UserError: The file is missing or damaged, or an entry is missing or of the wrong kind; the message names both.
    """
    values: dict[str, Any] = read_run_json(path)
    check_form(values, form or {}, path, _REMEDY)
    return values
