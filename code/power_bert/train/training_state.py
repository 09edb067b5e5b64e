"""Training state for exact resumption after the last finished epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.storage.files import atomic_file
from power_bert_runtime.parsing import parse_json, parsing

_REMEDY = "Delete it, and the phase starts anew"


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Return weights, dropout seeds and optimizer state, keyed by position: names differ from process to process."""
    named = {f"model_{index}": variable for index, variable in enumerate(model.variables)}
    named.update({f"optimizer_{index}": variable for index, variable in enumerate(model.optimizer.variables)})
    return named


def save_training_state(path: Path, model: keras.Model, progress: dict[str, Any]) -> None:
    """Write all variables of a compiled, built model and `progress` (JSON-serializable) to one file, atomically."""
    arrays = {name: ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}
    with atomic_file(path) as file:
        np.savez(file, progress=np.array(json.dumps(progress)), **arrays)


def load_training_state(path: Path, model: keras.Model) -> dict[str, Any] | None:
    """Restore a training state into a compiled model and return its progress; None if there is no file.

    Raises:
        UserError: The file is damaged or belongs to another model.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise UserError(f"{path}: damaged (a folder). {_REMEDY}")
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    with parsing(path, "a training state", _REMEDY), np.load(path, allow_pickle=False) as stored:
        progress = parse_json(str(stored["progress"]), path)
        values = {name: stored[name] for name in stored.files if name != "progress"}
    layout = {name: (tuple(variable.shape), str(variable.dtype)) for name, variable in variables.items()}
    if {name: (value.shape, str(value.dtype)) for name, value in values.items()} != layout:
        raise UserError(f"{path}: belongs to another model. {_REMEDY}")
    for name, value in values.items():
        variables[name].assign(value)
    return dict(progress)
