"""Teachers: trained classifiers of any supported kind, each with its own tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from power_bert.distill.keras_hub_teacher import HUB_MODEL_TYPES, KerasHubModel, find_hub_preset
from power_bert.errors import UserError
from power_bert.model.checkpoints import locate_checkpoint
from power_bert.model.checkpoints.classification_head import check_problem_type
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.trained_classifier import class_order, load_own_classifier, load_trained_classifier
from power_bert.predict.predict_texts import Predictor
from power_bert.runs.resolve_model import StoredPhase, resolve_model
from power_bert.storage.folder_manifest import MANIFEST_FILE, check_folder
from power_bert.storage.json_object import read_json_object
from power_bert.text.examples import Examples
from power_bert.text.task import Task
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer

SUPPORTED = """Expected one of:
  the OUTPUT_DIR of a run of this project, or a preset folder of it, such as RUN/3_retrain/model
  a keras-hub text classifier: a preset folder, or a name such as bert_tiny_en_uncased_sst2
  a Hugging Face folder (or hf://owner/name) of a sequence classifier: BERT, DistilBERT or RoBERTa"""
_READ_BYTES = 1 << 20
_OWN_CLASSES = "power_bert>"


class Model(Protocol):
    """Teacher model in memory."""

    def outputs(self, examples: Examples) -> np.ndarray:
        """Predict logits or scores, (examples, outputs), in the order of the task's labels."""


@dataclass(frozen=True)
class _Reordered:
    """Model with reordered outputs: output i is the model's output order[i]."""

    model: Model
    order: np.ndarray

    def outputs(self, examples: Examples) -> np.ndarray:
        return self.model.outputs(examples)[:, self.order]


@dataclass(frozen=True)
class Teacher:
    """Teacher for a task; its weights are loaded only on first use.

    Attributes:
        name: Teacher as given by the user, for messages.
        folder: Folder with the files of the teacher.
        task: Task to predict.
        max_length: Max length in tokens; longer texts are truncated.
    """

    name: str
    folder: Path
    task: Task
    max_length: int

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of weights, config and tokenizer, and of everything else that determines the outputs."""
        unusual = self.tokenizer.settings.unusual if self._is_hugging_face_bert else {}
        # Earlier versions ignored these settings, so the logits that they cached are not those of this teacher.
        read_as = f" {json.dumps(unusual, sort_keys=True)}" if unusual else ""
        return files_fingerprint(self.folder, f"{self.max_length} {self.task.labels}{read_as}")

    @property
    def is_own(self) -> bool:
        """Whether it runs as a `PowerBertTextClassifier`, so that its tokenizer and hidden states are accessible."""
        return self._is_preset or self._is_hugging_face_bert

    @property
    def _is_preset(self) -> bool:
        return checkpoint_class(self.folder).startswith(_OWN_CLASSES)

    @property
    def _is_hugging_face_bert(self) -> bool:
        path = self.folder / "config.json"
        return path.is_file() and read_json_object(path).get("model_type") == "bert"

    @cached_property
    def tokenizer(self) -> WordPieceTokenizer:
        """Tokenizer of the teacher, loaded without the weights; only if `is_own`.

        Raises:
            UserError: The tokenizer is damaged or missing.
        """
        if self._is_preset:
            return PowerBertTokenizer.from_preset(str(self.folder)).word_pieces
        vocabulary = read_tokenizer(self.folder)
        if vocabulary is None:
            raise UserError(
                f"teacher {self.name}: no tokenizer. Put its vocab.txt into {self.folder}, or tokenizer.json"
            )
        return WordPieceTokenizer(vocabulary)

    def check(self) -> None:
        """Raise a UserError if a Hugging Face classifier is invalid, as far as visible without loading its weights."""
        config_path = self.folder / "config.json"
        config = read_json_object(config_path)
        if "model_type" in config:
            check_problem_type(config, self.task.num_outputs, config_path)
        if self._is_hugging_face_bert:
            self.tokenizer.vocabulary.check()

    @cached_property
    def classifier(self) -> PowerBertTextClassifier:
        """Classifier of the teacher, with its classes in its own order; only if `is_own`.

        Raises:
            UserError: The classifier is damaged, or has no head or no tokenizer.
        """
        if self._is_preset and not (self.folder / "task.json").is_file():
            raise UserError(f"teacher {self.name}: an encoder without a head; give a text classifier")
        if self._is_preset:
            return load_own_classifier(self.folder)
        return load_trained_classifier(str(self.folder), self.max_length)

    @cached_property
    def model(self) -> Model:
        """Model of the teacher, of any kind, with its outputs in the order of the task's labels.

        Raises:
            UserError: The model is damaged, has no head or no tokenizer, or its classes differ from the task's.
        """
        model, labels, num_outputs = self._load()
        order = output_order(labels, num_outputs, self.task, self.name)
        return model if order is None else _Reordered(model, order)

    def _load(self) -> tuple[Model, Sequence[str] | None, int]:
        """Load the model in its own label order, with its class names and its number of outputs."""
        if not self.is_own:
            hub = KerasHubModel.load(self.folder, self.max_length, self.name)
            return hub, hub.labels, hub.num_outputs
        classifier = self.classifier
        length = min(self.max_length, classifier.backbone.max_sequence_length)
        return Predictor(classifier, length), classifier.labels, classifier.num_classes


def files_fingerprint(path: Path, also: str = "") -> str:
    """Compute the SHA-256 of a file, or of all files in a folder except model cards (.md) and the manifest.

    Args:
        path: File or folder.
        also: Further text to hash.
    """
    digest = hashlib.sha256(also.encode())
    inside = sorted(
        each for each in path.rglob("*") if each.is_file() and each.suffix != ".md" and each.name != MANIFEST_FILE
    )
    for each in [path] if path.is_file() else inside:
        digest.update(each.relative_to(path).as_posix().encode())
        with open(each, "rb") as file:
            while data := file.read(_READ_BYTES):
                digest.update(data)
    return digest.hexdigest()


def checkpoint_class(folder: Path) -> str:
    """Return the backbone class of a preset folder, such as "power_bert>LinearBackbone"; empty if it is no preset."""
    return str(read_json_object(folder / "config.json").get("registered_name", ""))


def find_teacher(given: str, task: Task, max_length: int | None) -> Teacher:
    """Find a teacher's files, and download those of a preset or of a hub repository.

    Args:
        given: One of the forms in `SUPPORTED`.
        task: Task to predict.
        max_length: Max length in tokens; None uses that of the stored run, or the task's.

    Raises:
        UserError: There is no such teacher, or its kind is not supported.
    """
    found = resolve_model(given)
    if isinstance(found, StoredPhase):
        output_order(found.task.class_names, found.task.num_outputs, task, given)
        return Teacher(given, found.model, task, max_length or found.experiment.max_length)
    folder = _find_folder(found)
    check_folder(folder)
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise UserError(f"teacher {given}: no config.json in {folder}.\n{SUPPORTED}")
    model_type = read_json_object(config_path).get("model_type")
    if model_type not in (None, "bert", *HUB_MODEL_TYPES):
        raise UserError(f"teacher {given}: a Hugging Face model of type {model_type!r}.\n{SUPPORTED}")
    teacher = Teacher(given, folder, task, max_length or task.defaults.max_length)
    teacher.check()
    return teacher


def _check_labels(labels: Sequence[str] | None, num_outputs: int, task: Task, source: str) -> None:
    """Raise a UserError that lists both label sets if a teacher's number of outputs differs from the task's."""
    if num_outputs == task.num_outputs:
        return
    raise UserError(
        f"teacher {source}: has {_listed(labels, num_outputs)}, but {task.name} wants "
        f"{_listed(task.labels, task.num_outputs)}. Give a teacher that was trained for these labels"
    )


def output_order(labels: Sequence[str] | None, num_outputs: int, task: Task, source: str) -> np.ndarray | None:
    """Return the teacher's output index for each label of the task, matched by name; None if the order is the same.

    A teacher without class names is assumed to have the task's order.

    Raises:
        UserError: The classes of the teacher differ from the task's; the message lists both.
    """
    _check_labels(labels, num_outputs, task, source)
    if labels is None or task.labels is None or tuple(labels) in (task.labels, task.class_names):
        return None
    order = class_order(labels, task)
    if order is None:
        raise UserError(
            f"teacher {source}: its classes are {', '.join(labels)}, those of {task.name} are "
            f"{', '.join(task.labels)}, and it is not clear which is which. Give a teacher that was trained for these "
            'labels, or name the classes in its config.json ("id2label") as the task does'
        )
    return order


def _listed(labels: Sequence[str] | None, num_outputs: int) -> str:
    if num_outputs == 1:
        return "a score"
    names = "without names" if labels is None else f"({', '.join(labels)})"
    return f"{num_outputs} classes {names}"


def _find_folder(given: str) -> Path:
    path = Path(given).expanduser()
    if path.is_dir():
        return path
    if given.startswith(("hf://", "kaggle://")):
        return locate_checkpoint(given)
    folder = find_hub_preset(given)
    if folder is None:
        raise UserError(f"teacher {given}: no such folder or preset.\n{SUPPORTED}")
    return folder
