"""Teachers: trained classifiers of any kind, each with its own tokenizer."""

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
from power_bert.folder_manifest import MANIFEST_FILE, check_folder
from power_bert.model.checkpoints import locate_checkpoint
from power_bert.model.checkpoints.classification_head import check_problem_type
from power_bert.model.checkpoints.config import read_json
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.trained_classifier import class_order, load_own_classifier, load_trained_classifier
from power_bert.run_dir import RunDir
from power_bert.text.examples import Examples
from power_bert.text.task import Task
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert.train.predict import Predictor
from power_bert.train.stored_run import find_stored_phase

SUPPORTED = """Expected one of:
  the OUTPUT_DIR of a run of this project, or a preset folder of it, such as RUN/3_retrain/model
  a keras-hub text classifier: a preset folder, or a name such as bert_tiny_en_uncased_sst2
  a Hugging Face folder (or hf://owner/name) of a sequence classifier: BERT, DistilBERT or RoBERTa"""
_READ_BYTES = 1 << 20
_OWN_CLASSES = "power_bert>"


class Model(Protocol):
    """A teacher in memory."""

    def outputs(self, examples: Examples) -> np.ndarray:
        """Logits or scores, (examples, outputs), in the order of the task's labels."""


@dataclass(frozen=True)
class _Reordered:
    """A model with its outputs in another order: output i is the model's output order[i]."""

    model: Model
    order: np.ndarray

    def outputs(self, examples: Examples) -> np.ndarray:
        return self.model.outputs(examples)[:, self.order]


@dataclass(frozen=True)
class Teacher:
    """A teacher for a task; its weights are read only when they are asked for.

    Attributes:
        name: what the user gave, for messages.
        folder: of its files.
        task: what it is to predict.
        max_length: word pieces of an example at most.
    """

    name: str
    folder: Path
    task: Task
    max_length: int

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of weights, config and tokenizer, and of what else decides its outputs."""
        unusual = self.tokenizer.settings.unusual if self._is_hugging_face_bert else {}
        # Earlier versions ignored these settings, so what they have cached is not what this teacher says.
        read_as = f" {json.dumps(unusual, sort_keys=True)}" if unusual else ""
        return files_fingerprint(self.folder, f"{self.max_length} {self.task.labels}{read_as}")

    @property
    def is_own(self) -> bool:
        """Whether it runs as a `PowerBertTextClassifier`, so that its tokenizer and inner states can be had."""
        return self._is_preset or self._is_hugging_face_bert

    @property
    def _is_preset(self) -> bool:
        return checkpoint_class(self.folder).startswith(_OWN_CLASSES)

    @property
    def _is_hugging_face_bert(self) -> bool:
        path = self.folder / "config.json"
        return path.is_file() and read_json(path).get("model_type") == "bert"

    @cached_property
    def tokenizer(self) -> WordPieceTokenizer:
        """Its tokenizer, without its weights; only where `is_own`.

        Raises:
            UserError: It is damaged, or there is none.
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
        """Raise a UserError for what is wrong with a Hugging Face classifier and can be seen without its weights."""
        config_path = self.folder / "config.json"
        config = read_json(config_path)
        if "model_type" in config:
            check_problem_type(config, self.task.num_outputs, config_path)
        if self._is_hugging_face_bert:
            self.tokenizer.vocabulary.check()

    @cached_property
    def classifier(self) -> PowerBertTextClassifier:
        """The teacher in memory, its classes in its own order; only where `is_own`.

        Raises:
            UserError: it is damaged, or has no head or no tokenizer.
        """
        if self._is_preset and not (self.folder / "task.json").is_file():
            raise UserError(f"teacher {self.name}: an encoder without a head; give a text classifier")
        if self._is_preset:
            return load_own_classifier(self.folder)
        return load_trained_classifier(str(self.folder), self.max_length)

    @cached_property
    def model(self) -> Model:
        """The teacher in memory, whatever its kind, its outputs in the order of the task's labels.

        Raises:
            UserError: as of `classifier`, or it has other classes than the task.
        """
        model, labels, num_outputs = self._load()
        order = output_order(labels, num_outputs, self.task, self.name)
        return model if order is None else _Reordered(model, order)

    def _load(self) -> tuple[Model, Sequence[str] | None, int]:
        """The model as it is, the names of its classes, and how many outputs it has."""
        if not self.is_own:
            hub = KerasHubModel.load(self.folder, self.max_length, self.name)
            return hub, hub.labels, hub.num_outputs
        classifier = self.classifier
        length = min(self.max_length, classifier.backbone.max_sequence_length)
        return Predictor(classifier, length), classifier.labels, classifier.num_classes


def files_fingerprint(path: Path, also: str = "") -> str:
    """Sha256 of a file, or of all files of a folder but its cards and its manifest.

    Args:
        path: of either.
        also: what else counts.
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
    """The class of the backbone that a preset folder holds, "power_bert>LinearBackbone"; empty where it is none."""
    return str(read_json(folder / "config.json").get("registered_name", ""))


def find_teacher(given: str, task: Task, max_length: int | None) -> Teacher:
    """Finds a teacher's files; downloads those of a preset or of a hub's repository.

    Args:
        given: a form of SUPPORTED.
        task: what it is to predict.
        max_length: word pieces of an example at most; None takes that of a stored run, or the task's.

    Raises:
        UserError: there is no such teacher, or it is of no kind that is supported.
    """
    if RunDir(Path(given)).holds_run:
        stored = find_stored_phase(given)
        check_labels(stored.task.labels, stored.task.num_outputs, task, given)
        length = max_length or stored.experiment.max_length
        return Teacher(given, stored.phase_dir.existing_model(), task, length)
    folder = _find_folder(given)
    check_folder(folder)
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise UserError(f"teacher {given}: no config.json in {folder}.\n{SUPPORTED}")
    model_type = read_json(config_path).get("model_type")
    if model_type not in (None, "bert", *HUB_MODEL_TYPES):
        raise UserError(f"teacher {given}: a Hugging Face model of type {model_type!r}.\n{SUPPORTED}")
    teacher = Teacher(given, folder, task, max_length or task.defaults.max_length)
    teacher.check()
    return teacher


def check_labels(labels: Sequence[str] | None, num_outputs: int, task: Task, source: str) -> None:
    """Raises a UserError that lists both label sets where a teacher has not as many outputs as the task."""
    if num_outputs == task.num_outputs:
        return
    raise UserError(
        f"teacher {source}: has {_listed(labels, num_outputs)}, but {task.name} wants "
        f"{_listed(task.labels, task.num_outputs)}. Give a teacher that was trained for these labels"
    )


def output_order(labels: Sequence[str] | None, num_outputs: int, task: Task, source: str) -> np.ndarray | None:
    """For each output that the task wants, which of the teacher's it is, by name; None where they are the same.

    A teacher whose classes have no names is taken to have them in the order of the task's.

    Raises:
        UserError: the teacher has other classes; lists both.
    """
    check_labels(labels, num_outputs, task, source)
    if labels is None or task.labels is None or tuple(labels) == tuple(task.labels):
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
    if Path(given).is_dir():
        return Path(given)
    if given.startswith(("hf://", "kaggle://")):
        return locate_checkpoint(given)
    folder = find_hub_preset(given)
    if folder is None:
        raise UserError(f"teacher {given}: no such folder or preset.\n{SUPPORTED}")
    return folder
