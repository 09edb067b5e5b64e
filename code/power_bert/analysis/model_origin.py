"""Where the weights of a run come from, and under which license, as far as that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.config import Experiment, checkpoint_name
from power_bert.distill_config import RANDOM, TEACHER, Distillation, Ensemble
from power_bert.errors import UserError
from power_bert.files import file_sha256
from power_bert.parsing import parsing
from power_bert.run_dir import RunDir
from power_bert.settings import TrainingSettings
from power_bert.text.download import MINILM_REPOSITORY, MINILM_SHA256
from power_bert.train.run_folder import read_settings

_WEIGHTS = "model.safetensors"
_HUB = re.compile(r"hf://([^@]+)(?:@(.+))?")
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True)
class Origin:
    """The base model of a run.

    Attributes:
        name: Its name; "" where the weights were random before training.
        hub_name: Its name on the Hugging Face hub; "" where it is not known to be there.
        license: Identifier as the hub writes it, such as "apache-2.0", or UNKNOWN_LICENSE.
    """

    name: str
    hub_name: str = ""
    license: str = UNKNOWN_LICENSE

    def sentence(self) -> str:
        """Say both for a model card."""
        if not self.name:
            return "Base model: none; the weights were random before training. License: none has been stated."
        where = f"`{self.hub_name}` of the Hugging Face hub" if self.hub_name else f"`{self.name}`"
        if self.license == UNKNOWN_LICENSE:
            return f"Base model: {where}. Its license is not known here; see where it was published."
        return f"Base model: {where}, license `{self.license}`. These weights derive from it."


def find_origin(settings: TrainingSettings) -> Origin:
    """Find the base model of a run; reads nothing but files of this machine."""
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
    if RunDir(folder).holds_run:
        return find_origin(read_settings(RunDir(folder)))
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
    """The header of a model card; empty where there is none that can be read."""
    from huggingface_hub.repocard import metadata_load

    if path is None or not path.is_file():
        return {}
    try:
        with parsing(path, "a model card"):
            return metadata_load(path) or {}
    except UserError:
        return {}
