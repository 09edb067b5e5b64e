"""The head of a Hugging Face sequence classifier, which the encoder's readers leave unused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from power_bert.errors import UserError
from power_bert.model.checkpoints.config import read_json
from power_bert.model.checkpoints.readers import open_safetensors

_KERNEL, _BIAS = "classifier.weight", "classifier.bias"


@dataclass(frozen=True)
class ClassificationHead:
    """A dense layer on the pooled output.

    Attributes:
        kernel: float32 (hidden, outputs).
        bias: float32 (outputs,).
        labels: Names of the classes; None for a regressor, which has one output.
    """

    kernel: np.ndarray
    bias: np.ndarray
    labels: tuple[str, ...] | None


def read_classification_head(folder: Path) -> ClassificationHead | None:
    """Reads the head of `BertForSequenceClassification`; None where the folder holds an encoder alone.

    Raises:
        UserError: The head's weights are not what its config says.
    """
    stored = open_safetensors(folder)
    if _KERNEL not in stored.shapes or _BIAS not in stored.shapes:
        return None
    kernel, bias = (np.asarray(stored.read(name), np.float32) for name in (_KERNEL, _BIAS))
    labels = _labels(folder / "config.json", len(bias))
    if kernel.ndim != 2 or len(kernel) != len(bias):
        raise UserError(f"{folder}: {_KERNEL} has shape {kernel.shape} and {_BIAS} {bias.shape}; download it again.")
    return ClassificationHead(np.ascontiguousarray(kernel.T), bias, labels)


def _labels(config_path: Path, num_outputs: int) -> tuple[str, ...] | None:
    if num_outputs == 1:
        return None
    names = read_json(config_path).get("id2label") or {str(index): f"LABEL_{index}" for index in range(num_outputs)}
    if not isinstance(names, dict) or set(names) != {str(index) for index in range(num_outputs)}:
        raise UserError(f'{config_path}: expected "id2label" with a name for each of the {num_outputs} classes.')
    return tuple(str(names[str(index)]) for index in range(num_outputs))
