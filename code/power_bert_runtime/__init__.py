"""Prediction with exported classifiers, without TensorFlow: NumPy, tokenizers, and the runtime of the file's format."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from power_bert_runtime.errors import UserError as UserError
    from power_bert_runtime.exported_classifier import Classifier as Classifier
    from power_bert_runtime.exported_classifier import Prediction as Prediction

# Official builds of ONNX Runtime report usage to Microsoft unless this is set before they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {"UserError": "errors", "Classifier": "exported_classifier", "Prediction": "exported_classifier"}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    # Imported when asked for: `import power_bert` needs the errors, not NumPy and the tokenizers.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
