"""Read the head of a Hugging Face sequence classifier, which the encoder readers leave unused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.errors import UserError
from power_bert.model.checkpoints.readers import open_safetensors
from power_bert.storage.json_object import read_json_object
from power_bert_runtime.parsing import shown

_KERNEL, _BIAS = "classifier.weight", "classifier.bias"


@dataclass(frozen=True)
class ClassificationHead:
    """Weights of a dense layer on the pooled output.

    Attributes:
        kernel: Kernel, float32 (hidden, outputs).
        bias: Bias, float32 (outputs,).
        labels: Names of the classes; None for a regressor, which has one output.
    """

    kernel: np.ndarray
    bias: np.ndarray
    labels: tuple[str, ...] | None


def has_classification_head(folder: Path) -> bool:
    """Return whether a Hugging Face folder holds the weights of a head, and not only an encoder."""
    return {_KERNEL, _BIAS} <= open_safetensors(folder).shapes.keys()


def read_classification_head(folder: Path) -> ClassificationHead:
    """Read the head of a `BertForSequenceClassification`, which the folder must have.

    Raises:
        UserError: The head's weights do not fit its config, or it is a multi-label classifier.
    """
    stored = open_safetensors(folder)
    kernel, bias = (stored.read_float32(name) for name in (_KERNEL, _BIAS))
    if kernel.ndim != 2 or bias.shape != kernel.shape[:1] or not bias.size:
        raise UserError(f"{folder}: {_KERNEL} has shape {kernel.shape} and {_BIAS} {bias.shape}; download it again.")
    config_path = folder / "config.json"
    config = read_json_object(config_path)
    check_problem_type(config, len(bias), config_path)
    labels = read_labels(config, len(bias), config_path)
    return ClassificationHead(np.ascontiguousarray(kernel.T), bias, labels)


def check_problem_type(config: Mapping[str, Any], num_outputs: int, path: Path) -> None:
    """Raise a UserError unless the outputs of a sequence classifier are the logits of one label, or one score.

    Args:
        config: Content of its `config.json`.
        num_outputs: Number of outputs of its head.
        path: Path of the config, for the message.
    """
    expected = ("single_label_classification",) if num_outputs > 1 else ("regression", "single_label_classification")
    if config.get("problem_type") not in (None, *expected):
        raise UserError(
            f'{path}: "problem_type" is {shown(config["problem_type"])} with {num_outputs} outputs. Expected '
            f"{shown(expected[0])}: a text has one class here, or one score, and several labels or scores at once "
            "cannot be predicted, evaluated, exported or taught. Give another classifier, or give this one as "
            "CHECKPOINT_PATH to `bash run.sh`, which trains a new head."
        )


def read_labels(config: Mapping[str, Any], num_outputs: int, path: Path) -> tuple[str, ...] | None:
    """Read the class names from the config of a sequence classifier; None for a regressor, which has one output."""
    if num_outputs == 1:
        return None
    numbers = [str(index) for index in range(num_outputs)]
    names = config.get("id2label") or {number: f"LABEL_{number}" for number in numbers}
    if not isinstance(names, dict) or set(names) != set(numbers):
        raise UserError(f'{path}: expected "id2label" with a name for each of the {num_outputs} classes.')
    labels: list[str] = []
    for number in numbers:
        name = names[number]
        if not isinstance(name, str | int) or not str(name).strip():
            raise UserError(f'{path}: "id2label" names class {number} {shown(name)}. Expected a text.')
        if str(name) in labels:
            raise UserError(f'{path}: "id2label" gives two classes the name {shown(name)}. Expected different names.')
        labels.append(str(name))
    return tuple(labels)
