"""Presets of this project: saved with a manifest, and loaded completely or not at all.

If a preset has no file for a weight, keras-hub initializes the weight at random without a warning.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import keras
import keras_hub
import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.model.checkpoints.location import locate_checkpoint
from power_bert.storage.folder_manifest import write_manifest
from power_bert_runtime.parsing import parse_json, parsing

_BACKBONE_WEIGHTS = ("model.weights.h5", "model.weights.json")
_TASK_WEIGHTS = "task.weights.h5"
# Descriptions of the objects that can be loaded from a preset.
_DESCRIPTIONS = ("config.json", "task.json", "preprocessor.json", "tokenizer.json")
_REMEDY = "Restore it, or make the model again"


class WholePreset:
    """Mixin for a keras-hub class that can be saved to and loaded from a preset folder."""

    def save_to_preset(self, preset_dir: str, **kwargs: Any) -> None:
        """Save as keras-hub does, then write the manifest of the whole folder."""
        super().save_to_preset(preset_dir, **kwargs)  # type: ignore[misc]
        write_manifest(Path(preset_dir))

    @classmethod
    def from_preset(cls, preset: str, **kwargs: Any) -> Self:
        """Load as keras-hub does, but fail if a file was altered or a weight would stay random.

        Args:
            preset: Folder, or another form that `locate_checkpoint` accepts. It may hold any subclass, such as a
                classifier on the backbone of a student.
            kwargs: Arguments of keras-hub's `from_preset`. With `load_weights=False` all weights are random, with
                `num_classes` those of the head.

        Raises:
            UserError: A file is missing, truncated, altered or damaged; the message names it.
        """
        folder = locate_checkpoint(preset)
        described = [folder / name for name in _DESCRIPTIONS if (folder / name).is_file()]
        for path in described:
            _check_description(path)
        is_model = issubclass(cls, keras.Model)
        if is_model:
            wants_weights, kwargs["load_weights"] = kwargs.get("load_weights", True), False
        with parsing(_description_of(cls, folder), "the description of a model that can be built", _REMEDY):
            loaded: Self = super().from_preset(str(folder), **kwargs)  # type: ignore[misc]
        if is_model and wants_weights:
            load_weights(loaded, folder, with_head="num_classes" not in kwargs)
        return loaded


class TaskPreset(WholePreset):
    """Mixin for a keras-hub task; a preset holds the model without the optimizer's two further copies of it."""

    def _skipped_objects(self) -> list[Any]:
        return [*self.backbone._flatten_layers(), self.optimizer]  # type: ignore[attr-defined]

    def save_task_weights(self, filepath: str) -> None:
        """Save the weights of the task outside its backbone."""
        keras.saving.save_weights(self, filepath, objects_to_skip=self._skipped_objects())

    def load_task_weights(self, filepath: str) -> None:
        """Load the weights of the task outside its backbone."""
        keras.saving.load_weights(self, filepath, objects_to_skip=self._skipped_objects())


def _check_description(path: Path) -> None:
    """Raise a UserError if a file of a preset does not describe an object of a known class."""
    values = parse_json(path.read_bytes(), path, advice=_REMEDY)
    with parsing(path, "the description of a model", _REMEDY):
        _import_modules(values)
        if keras.saving.get_registered_object(values["registered_name"]) is None:
            raise ValueError(f"unknown class {values['registered_name']!r}")
        if not isinstance(values["config"], dict):
            raise TypeError("its config is no JSON object")


def _import_modules(values: Any) -> None:
    """Import the modules of this package that a description names, to register their classes with Keras.

    Keras imports only its own modules.
    """
    if isinstance(values, dict):
        if str(values.get("module")).startswith("power_bert.model."):
            importlib.import_module(values["module"])
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            _import_modules(value)


def _description_of(cls: type, folder: Path) -> Path:
    """Return the file of a preset that describes an object of a class."""
    if issubclass(cls, keras_hub.models.Task) and (folder / "task.json").is_file():
        return folder / "task.json"
    if issubclass(cls, keras_hub.tokenizers.Tokenizer):
        return folder / "tokenizer.json"
    return folder / ("config.json" if issubclass(cls, keras.Model) else "preprocessor.json")


def load_weights(model: Any, folder: Path, with_head: bool = True) -> None:
    """Load all weights of a backbone, or of a task and its backbone, from the files of a preset.

    Args:
        model: A backbone or task of keras-hub, built with random weights.
        folder: Preset folder.
        with_head: Whether to load the weights of a task outside its backbone.

    Raises:
        UserError: A file is missing or does not fit the model, or a weight is in none of them.
    """
    backbone = getattr(model, "backbone", model)
    in_backbone = {id(weight) for weight in backbone.weights}
    head = [weight for weight in model.weights if id(weight) not in in_backbone] if with_head else []
    backbone_file = next(
        (folder / name for name in _BACKBONE_WEIGHTS if (folder / name).is_file()), folder / _BACKBONE_WEIGHTS[0]
    )
    # A weight that the files leave out stays NaN, which `_fill` detects.
    for weight in filter(_is_float, [*backbone.weights, *head]):
        weight.assign(np.full(weight.shape, np.nan, "float32"))
    if head:
        _fill(model.load_task_weights, head, folder / _TASK_WEIGHTS)
    _fill(backbone.load_weights, backbone.weights, backbone_file)


def _fill(load: Callable[[str], None], weights: Sequence[keras.Variable], path: Path) -> None:
    """Load a weights file; raise a UserError unless it gives each of `weights` a finite value."""
    if not path.is_file():
        raise UserError(f"{path}: missing, so {len(weights)} weights would be random. {_REMEDY}")
    with parsing(path, "the weights of the model that the preset describes", _REMEDY):
        load(str(path))
    for weight in filter(_is_float, weights):
        if not bool(ops.all(ops.isfinite(weight))):
            raise UserError(f"{path}: no value for the weight {weight.path}, or one that is not finite. {_REMEDY}")


def _is_float(weight: keras.Variable) -> bool:
    """Return whether a weight can be NaN; integer weights are those of quantized layers."""
    return "float" in str(weight.dtype)
