"""Load trained classifiers: presets of this project and Hugging Face sequence classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.model.checkpoints.location import is_own_preset, locate_checkpoint
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import check_tokenizer_fits
from power_bert.text.task import Task

# Class names in published checkpoints, for tasks whose files have the labels 0 and 1, in this order.
_REMEDY = (
    "Expected the OUTPUT_DIR of a run, a preset folder of this project, such as RUN/3_retrain/model, or a Hugging Face "
    "folder of a sequence classifier (BertForSequenceClassification)."
)


def load_trained_classifier(checkpoint_path: str, max_length: int) -> PowerBertTextClassifier:
    """Load a classifier with its head.

    Args:
        checkpoint_path: Preset of this project, or Hugging Face folder (``hf://…`` included).
        max_length: Max length in tokens if the checkpoint does not state it.

    Raises:
        UserError: There is no such checkpoint, or it is an encoder without a head.
    """
    path = Path(checkpoint_path).expanduser()
    is_there = path.exists() or Path(f"{path}.index").exists()  # a TF1 prefix is no file itself
    if not checkpoint_path.startswith("hf://") and not is_there:
        raise UserError(f"{checkpoint_path}: no such run or checkpoint. {_REMEDY}")
    location = locate_checkpoint(checkpoint_path)
    if is_own_preset(location):
        return load_own_classifier(location)
    classifier = PowerBertTextClassifier.from_preset(str(location))
    if classifier.preprocessor is not None:
        classifier.preprocessor.sequence_length = min(max_length, classifier.backbone.max_sequence_length)
    return classifier


def load_own_classifier(folder: Path) -> PowerBertTextClassifier:
    """Load a classifier preset of this project, with its tokenizer.

    Raises:
        UserError: A file is missing, truncated, altered or damaged, or the files do not fit together.
    """
    classifier = PowerBertTextClassifier.from_preset(str(folder))
    if classifier.preprocessor is None:
        raise UserError(f"{folder}: no tokenizer there; save the classifier with its preprocessor")
    check_tokenizer_fits(folder, classifier.backbone, classifier.preprocessor.tokenizer)
    return classifier


def align_with_task(classifier: PowerBertTextClassifier, task: Task, source: str) -> None:
    """Reorder the classes of a classifier, by name, into the order of a task's labels.

    Args:
        classifier: Classifier, changed in place.
        task: Task to predict.
        source: Path or name of the classifier, for messages.

    Raises:
        UserError: The classes of the classifier differ from those of the task.
    """
    if classifier.num_classes != task.num_outputs:
        raise UserError(
            f"{source}: the model has {_count(classifier.num_classes)}, but {task.name} wants "
            f"{_count(task.num_outputs)}; give the --task that it was trained for"
        )
    if task.labels is None or classifier.labels in (None, task.labels, task.class_names):
        classifier.labels = task.class_names
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
    classifier.labels = task.class_names


def class_order(names: Sequence[str], task: Task) -> np.ndarray | None:
    """Return, for each label of the task, the index of the class that means it; None if that is unclear."""
    found = [_normal(name) for name in names]
    spellings = [[_normal(label) for label in labels or ()] for labels in (task.labels, task.class_names)]
    if spellings[0] == ["0", "1"]:
        spellings.append(["label_0", "label_1"])
    for labels in spellings:
        if sorted(found) == sorted(labels):
            return np.array([found.index(label) for label in labels])
    return None


def _normal(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _count(num_outputs: int) -> str:
    return "one score" if num_outputs == 1 else f"{num_outputs} classes"
