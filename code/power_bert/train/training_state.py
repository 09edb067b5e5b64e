"""Everything that a killed training needs to go on exactly where its last finished epoch ended."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.files import atomic_file


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights, dropout seeds and optimizer state by position: names differ from process to process."""
    named = {f"model_{index}": variable for index, variable in enumerate(model.variables)}
    named.update({f"optimizer_{index}": variable for index, variable in enumerate(model.optimizer.variables)})
    return named


def save_training_state(path: Path, model: keras.Model, progress: dict[str, Any]) -> None:
    """Write all variables of a compiled, built model, and `progress` (JSON-able), as one file, atomically."""
    arrays = {name: ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}
    with atomic_file(path) as file:
        np.savez(file, progress=np.array(json.dumps(progress)), **arrays)


def load_training_state(path: Path, model: keras.Model) -> dict[str, Any] | None:
    """Restore what `save_training_state` wrote into a compiled model; None where there is nothing to restore.

    Raises:
        UserError: the file is damaged or belongs to another model.
    """
    if not path.exists():
        return None
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    try:
        with np.load(path) as stored:
            progress = json.loads(str(stored["progress"]))
            values = {name: stored[name] for name in stored.files if name != "progress"}
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged ({error}); delete it, and the phase starts anew") from None
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    if {name: value.shape for name, value in values.items()} != shapes:
        raise UserError(f"{path}: belongs to another model; delete it, and the phase starts anew")
    for name, value in values.items():
        variables[name].assign(value)
    return progress
