"""Optional experiment tracking with Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from power_bert.errors import UserError
from power_bert.storage.files import atomic_write_text


class Tracker(Protocol):
    """Tracker of the figures of a training."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log figures after a training step."""

    def finish(self) -> None:
        """End the run."""


class NoTracker:
    """Tracker that does nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        pass

    def finish(self) -> None:
        pass


class WandbTracker:
    """Tracker that logs to one Weights & Biases run, which a resumed training continues.

    Args:
        project: Weights & Biases project.
        folder: Folder of the training; its name is the run's name.
        settings: Settings shown with the run.
        id_path: File that stores the run's id.

    Raises:
        UserError: The package is missing, or the run cannot be started.
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
    """Read the run's id from a file, which is created with a new id if it does not exist."""
    if not path.is_file():
        atomic_write_text(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8")
