"""Weights & Biases, where the user asks for it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from power_bert.errors import UserError
from power_bert.files import atomic_write_text


class Tracker(Protocol):
    """Takes the figures of a training."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Figures after an update."""

    def finish(self) -> None:
        """The training is over."""


class NoTracker:
    """Does nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        pass

    def finish(self) -> None:
        pass


class WandbTracker:
    """A run of Weights & Biases; a resumed training goes on with the same one.

    Args:
        project: of Weights & Biases.
        folder: of the training; its name is the run's name.
        settings: shown with the run.
        id_path: keeps the run's id.

    Raises:
        UserError: the package is missing, or the run cannot be started.
    """

    def __init__(self, project: str, folder: Path, settings: Mapping[str, Any], id_path: Path) -> None:
        try:
            import wandb
        except ImportError:
            raise UserError("--wandb needs Weights & Biases: EXTRAS=wandb bash run.sh pretrain …") from None
        try:
            self._run = wandb.init(
                project=project,
                name=folder.name,
                id=_stored_id(id_path),
                resume="allow",
                dir=folder,
                config=dict(settings),
            )
        except wandb.errors.Error as error:
            raise UserError(
                f"--wandb {project}: {error}. Log in with `wandb login`, or set WANDB_MODE=offline to keep the run here"
            ) from None

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        self._run.finish()


def _stored_id(path: Path) -> str:
    """The id in a file, which is made where it is not there yet."""
    if not path.is_file():
        atomic_write_text(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8")
