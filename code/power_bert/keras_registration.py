"""Make Keras and keras-hub know the classes of this project, as soon as both are imported.

`import power_bert` must stay quick, so it imports neither. Instead, `install` puts a finder first on `sys.meta_path`
that notices their import and then calls `register`. It also holds back the lines that TensorFlow's native code prints
when it is imported, which no setting of TensorFlow silences.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from power_bert.quiet import silence_intended
from power_bert_runtime.native_stderr import native_stderr_held_back

# Modules whose import prints, and of these the ones after which the classes can be registered.
_NOISY = ("tensorflow", "keras", "keras_hub")
_KERAS = ("keras", "keras_hub")
# Modules that import all others whose classes a preset or a .keras file can hold.
_OF_CLASSES = ("model.students.build_student", "model.masked_lm", "train.optimizers")
_is_registered = False


def install() -> None:
    """Register the classes now if Keras is imported already, and else on its import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if any(name in sys.modules for name in _KERAS):
        register()
    else:
        sys.meta_path.insert(0, _KerasImports(_own_modules()))


def register() -> None:
    """Import the classes, which registers them, and let `keras_hub.models.TextClassifier` load runs."""
    global _is_registered
    if _is_registered:
        return
    _is_registered = True
    with native_stderr_held_back():
        for name in _OF_CLASSES:
            importlib.import_module(f"power_bert.{name}")
    silence_intended()
    _load_runs_through_keras_hub()


class _KerasImports(MetaPathFinder):
    """Finder that finds `_NOISY` as Python does, and acts around their execution.

    Args:
        own_modules: Modules of this package that `import power_bert` brings. If there are more by the time that Keras
            is imported, then this package is importing it, in the middle of one of its modules, and imports the classes
            that it needs.
    """

    def __init__(self, own_modules: frozenset[str]) -> None:
        self._own_modules = own_modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in _NOISY else None
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with native_stderr_held_back():
                execute(module)
            # In the middle of the import of keras-hub, that of Keras is too early.
            if name in _KERAS and (name == "keras_hub" or "keras_hub" not in sys.modules):
                self._register()

        loader.exec_module = exec_module
        return spec

    def _register(self) -> None:
        if _own_modules() == self._own_modules:
            register()


def _own_modules() -> frozenset[str]:
    return frozenset(name for name in sys.modules if name.partition(".")[0] == "power_bert")


def _load_runs_through_keras_hub() -> None:
    """Let `keras_hub.models.TextClassifier.from_preset` load what `PowerBertTextClassifier.from_preset` checks.

    The class inherits the method, so this gives it one of its own, for runs and presets of this project alone.
    """
    import keras_hub

    from power_bert.model.checkpoints.location import is_own_preset, locate_checkpoint
    from power_bert.model.classifier import PowerBertTextClassifier

    base: Any = keras_hub.models.TextClassifier

    def from_preset(cls: type, preset: str, *args: Any, **kwargs: Any) -> Any:
        if cls is base and Path(preset).is_dir() and is_own_preset(locate_checkpoint(preset)):
            return PowerBertTextClassifier.from_preset(preset, *args, **kwargs)
        return super(base, cls).from_preset(preset, *args, **kwargs)

    base.from_preset = classmethod(from_preset)
