"""Classifiers that are trained already, from files: presets of ours and Hugging Face sequence classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.model.checkpoints import checkpoint_kind, locate_checkpoint
from power_bert.model.checkpoints.classification_head import read_classification_head
from power_bert.model.checkpoints.config import read_json
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import build_classifier, check_tokenizer_fits, load_pretrained
from power_bert.text.task import Task

# How published checkpoints name the classes of tasks whose files say 0 and 1, in this order.
_NAMES_OF_0_AND_1: dict[str, tuple[str, str]] = {
    "cola": ("unacceptable", "acceptable"),
    "sst-2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "wnli": ("not_entailment", "entailment"),
}
_REMEDY = (
    "Expected the OUTPUT_DIR of a run, a preset folder of this project, such as RUN/3_retrain/model, or a Hugging Face "
    "folder of a sequence classifier (BertForSequenceClassification)."
)


def load_trained_classifier(checkpoint_path: str, max_length: int) -> PowerBertTextClassifier:
    """Load a classifier with its head.

    Args:
        checkpoint_path: a preset of ours, or a Hugging Face folder (``hf://…`` too).
        max_length: word pieces of an example at most, where the checkpoint does not say it.

    Raises:
        UserError: there is no such checkpoint, or it is an encoder without a head.
    """
    if not checkpoint_path.startswith("hf://") and not Path(checkpoint_path).exists():
        raise UserError(f"{checkpoint_path}: no such run or checkpoint. {_REMEDY}")
    location = locate_checkpoint(checkpoint_path)
    if _is_own_classifier(location):
        return load_own_classifier(location)
    head = read_classification_head(location) if checkpoint_kind(location) == "hugging_face" else None
    if head is None:
        raise UserError(
            f"{checkpoint_path}: an encoder without a classification head, which can predict nothing. {_REMEDY} To "
            "train one from this encoder, give it as CHECKPOINT_PATH to `bash run.sh`"
        )
    pretrained = load_pretrained(str(location))
    if pretrained.random_weights:
        raise UserError(
            f"{checkpoint_path}: has a head, but no {', '.join(pretrained.random_weights)}, so its predictions would "
            "be random; use the whole checkpoint of the classifier, or train from this one as an encoder"
        )
    hidden_dim = pretrained.backbone.hidden_dim
    if len(head.kernel) != hidden_dim:
        raise UserError(f"{checkpoint_path}: the head wants {len(head.kernel)} dims, but the encoder has {hidden_dim}")
    length = min(max_length, pretrained.backbone.max_sequence_length)
    classifier = build_classifier(pretrained, len(head.bias), head.labels, length)
    classifier.output_dense.kernel.assign(head.kernel)
    classifier.output_dense.bias.assign(head.bias)
    return classifier


def load_own_classifier(folder: Path) -> PowerBertTextClassifier:
    """Load a preset of a classifier of this project, with its tokenizer.

    Raises:
        UserError: A file of it is missing, cut, altered or damaged, or its files do not fit each other.
    """
    classifier = PowerBertTextClassifier.from_preset(str(folder))
    if classifier.preprocessor is None:
        raise UserError(f"{folder}: no tokenizer there; save the classifier with its preprocessor")
    check_tokenizer_fits(folder, classifier.backbone, classifier.preprocessor.tokenizer)
    return classifier


def _is_own_classifier(location: Path) -> bool:
    """Whether it is a preset of a classifier of this project, a BERT or another student."""
    if not (location / "task.json").is_file():
        return False
    return str(read_json(location / "config.json").get("registered_name", "")).startswith("power_bert>")


def align_with_task(classifier: PowerBertTextClassifier, task: Task, source: str) -> None:
    """Put the classes of a classifier into the order of a task's labels, by their names.

    Args:
        classifier: changed in place.
        task: what it is to predict.
        source: of the classifier, for messages.

    Raises:
        UserError: it has other classes than the task.
    """
    if classifier.num_classes != task.num_outputs:
        raise UserError(
            f"{source}: the model has {_count(classifier.num_classes)}, but {task.name} wants "
            f"{_count(task.num_outputs)}; give the --task that it was trained for"
        )
    if task.labels is None or classifier.labels in (None, task.labels):
        classifier.labels = task.labels
        return
    order = class_order(classifier.labels, task)
    if order is None:
        raise UserError(
            f"{source}: the model's classes are {', '.join(classifier.labels)}, those of {task.name} are "
            f"{', '.join(task.labels)}, and it is not clear which is which. Give the --task that it was trained for, "
            'or name the classes in its config.json ("id2label") as the task does'
        )
    if classifier.output_dense is None:
        raise UserError(
            f"{source}: its classes stand in another order ({', '.join(classifier.labels)}) than those of {task.name}, "
            "and a linear model or an ensemble cannot be re-ordered; train it again with the labels in this order"
        )
    dense = classifier.output_dense
    dense.kernel.assign(ops.convert_to_numpy(dense.kernel)[:, order])
    dense.bias.assign(ops.convert_to_numpy(dense.bias)[order])
    classifier.labels = task.labels


def class_order(names: Sequence[str], task: Task) -> np.ndarray | None:
    """For each label of the task, the position of the class that means it; None where that cannot be told."""
    found = [_normal(name) for name in names]
    spellings = [[_normal(label) for label in task.labels or ()]]
    if spellings == [["0", "1"]]:
        spellings += [["label_0", "label_1"], list(_NAMES_OF_0_AND_1.get(task.name, ()))]
    for labels in spellings:
        if sorted(found) == sorted(labels):
            return np.array([found.index(label) for label in labels])
    return None


def _normal(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _count(num_outputs: int) -> str:
    return "one score" if num_outputs == 1 else f"{num_outputs} classes"
