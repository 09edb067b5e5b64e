"""Base model of a run and its license, as far as they are known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.config.distillation import RANDOM, TEACHER, Distillation, Ensemble
from power_bert.config.experiment import Experiment, checkpoint_name
from power_bert.config.validation import TrainingSettings
from power_bert.errors import UserError
from power_bert.model.checkpoints.download import MINILM_REPOSITORY, MINILM_SHA256
from power_bert.runs.resolve_model import find_run
from power_bert.runs.run_folder import read_settings
from power_bert.storage.files import file_sha256
from power_bert_runtime.parsing import parsing

_WEIGHTS = "model.safetensors"
_HUB = re.compile(r"hf://([^@]+)(?:@(.+))?")
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True)
class Origin:
    """Base model of a run.

    Attributes:
        name: Name of the model; "" if the weights were random before training.
        hub_name: Name on the Hugging Face hub; "" if unknown.
        license: Identifier as the hub writes it, such as "apache-2.0", or UNKNOWN_LICENSE.
    """

    name: str
    hub_name: str = ""
    license: str = UNKNOWN_LICENSE

    def sentence(self) -> str:
        """Return base model and license as sentences for a model card."""
        if not self.name:
            return "Base model: none; the weights were random before training. License: none has been stated."
        where = f"`{self.hub_name}` of the Hugging Face hub" if self.hub_name else f"`{self.name}`"
        if self.license == UNKNOWN_LICENSE:
            return f"Base model: {where}. Its license is not known here; see where it was published."
        return f"Base model: {where}, license `{self.license}`. These weights derive from it."


def find_origin(settings: TrainingSettings) -> Origin:
    """Find the base model of a run from files on this machine; nothing is downloaded."""
    if isinstance(settings, Ensemble):
        return _of_checkpoint(settings.members[0])
    if isinstance(settings, Experiment):
        return _of_checkpoint(settings.checkpoint_path)
    if isinstance(settings, Distillation) and settings.start != RANDOM:
        return _of_checkpoint(settings.teachers[0] if settings.start == TEACHER else settings.start)
    return Origin("")


def _of_checkpoint(checkpoint: str) -> Origin:
    hub = _HUB.fullmatch(checkpoint)
    folder = Path(checkpoint).expanduser()
    if found := find_run(folder):
        return find_origin(read_settings(found[0]))
    weights = folder / _WEIGHTS
    if hub is None and weights.is_file() and file_sha256(weights) == MINILM_SHA256[_WEIGHTS]:
        return Origin(MINILM_REPOSITORY, MINILM_REPOSITORY, "apache-2.0")
    card = _card_metadata(_cached_card(hub[1], hub[2]) if hub else folder / "README.md")
    license_name = card.get("license")
    return Origin(
        hub[1] if hub else checkpoint_name(checkpoint),
        hub[1] if hub else "",
        license_name if isinstance(license_name, str) and license_name else UNKNOWN_LICENSE,
    )


def _cached_card(repository: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "README.md", revision=revision)
    return Path(found) if isinstance(found, str) else None


def _card_metadata(path: Path | None) -> dict[str, Any]:
    """Read the header of a model card; empty if there is none that can be read."""
    from huggingface_hub.repocard import metadata_load

    if path is None or not path.is_file():
        return {}
    try:
        with parsing(path, "a model card"):
            return metadata_load(path) or {}
    except UserError:
        return {}
