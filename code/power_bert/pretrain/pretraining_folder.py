"""Run directory of one pre-training; the only module that builds its paths.

<folder>/settings.json  environment.json  log.txt  metrics.csv  metrics.json  tensorboard/  DONE (last)
<folder>/training_state.npz (until it is done)
<folder>/model/  hugging_face/  tf1/bert_model.ckpt   the result in three formats
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.config.pretraining import PretrainingSettings
from power_bert.config.validation import differing_settings, list_differences
from power_bert.corpus.manifest import Corpus
from power_bert.errors import UserError
from power_bert.runs.run_dir import write_run_json
from power_bert.runs.run_documents import read_object
from power_bert.storage.files import atomic_write_text, is_empty


@dataclass(frozen=True)
class PretrainingDir:
    """Paths of one pre-training."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def metrics_csv(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def training_state(self) -> Path:
        return self.path / "training_state.npz"

    @property
    def wandb_id(self) -> Path:
        return self.path / "wandb_id.txt"

    @property
    def model(self) -> Path:
        """Preset of this project, with the head of the masked language model."""
        return self.path / "model"

    @property
    def hugging_face(self) -> Path:
        return self.path / "hugging_face"

    @property
    def tf1_prefix(self) -> Path:
        return self.path / "tf1" / "bert_model.ckpt"

    @property
    def is_done(self) -> bool:
        return (self.path / "DONE").exists()

    def mark_done(self) -> None:
        atomic_write_text(self.path / "DONE", "")


def start_pretraining_dir(folder: PretrainingDir, settings: PretrainingSettings, environment: dict[str, Any]) -> None:
    """Write settings and environment into a new folder, or check that the folder holds the same pre-training.

    Raises:
        UserError: The folder holds another pre-training, one of another corpus or other files, or cannot be written.
    """
    if folder.settings.is_file():
        refuse_other_settings(folder, settings)
        if folder.environment.is_file():
            _refuse_other_corpus(folder, environment)
    elif folder.path.exists() and (not folder.path.is_dir() or not is_empty(folder.path)):
        raise UserError(f"{folder.path}: exists and is no pre-training (no settings.json); choose another --out")
    if folder.is_done:
        return  # keep the environment that the finished pre-training recorded
    try:
        atomic_write_text(folder.settings, settings.to_json())
        write_run_json(folder.environment, environment)
    except OSError as error:
        raise UserError(f"{folder.path}: cannot be written ({error.strerror or error}); choose another --out") from None


def corpus_fingerprint(corpus: Corpus) -> dict[str, Any]:
    """Return the SHA-256 of the corpus' vocabulary and shards, to detect another corpus."""
    return {"vocabulary_sha256": corpus.plan["vocabulary_sha256"], "shards": [s.sha256 for s in corpus.shards]}


def refuse_other_settings(folder: PretrainingDir, settings: PretrainingSettings) -> None:
    """Raise a UserError if the folder holds a pre-training with other settings."""
    present = json.loads(settings.to_json())
    # The corpus may have been moved, so its path is not compared.
    if different := differing_settings(read_object(folder.settings), present, but_for=["corpus"]):
        listed = list_differences(different)
        raise UserError(f"{folder.path} holds another pre-training ({listed}); choose another --out, or delete it")


def _refuse_other_corpus(folder: PretrainingDir, environment: dict[str, Any]) -> None:
    if read_object(folder.environment).get("corpus") != environment["corpus"]:
        raise UserError(
            f"{folder.path} was begun with another corpus; restore that, or choose another --out to begin anew"
        )
