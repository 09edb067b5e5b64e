"""PoWER-BERT in Keras 3: faster BERT classifiers by progressive token elimination.

    import power_bert

    classifier = power_bert.PowerBertTextClassifier.from_preset("hf://owner/name", labels=["ham", "spam"])

The import is quick: Keras and TensorFlow are imported on the first use of a name that needs them. Once they are, Keras
and keras-hub know the classes of this project, so that `keras.saving.load_model` loads its ``.keras`` files and
`keras_hub.models.TextClassifier.from_preset` its runs. docs/python.md shows all names in `__all__`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from power_bert.errors import UserError
from power_bert.keras_registration import install, register

if TYPE_CHECKING:
    from power_bert.elimination.retention import Retention
    from power_bert.model.backbone import PowerBertBackbone
    from power_bert.model.classifier import LabelPredictions, PowerBertTextClassifier
    from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
    from power_bert.train.speed_up import speed_up

__version__ = "0.1.0"
__all__ = [
    "LabelPredictions",
    "PowerBertBackbone",
    "PowerBertTextClassifier",
    "PowerBertTextClassifierPreprocessor",
    "PowerBertTokenizer",
    "Retention",
    "UserError",
    "speed_up",
]
# Name → module of the names that need Keras.
_MODULES = {
    "LabelPredictions": "model.classifier",
    "PowerBertBackbone": "model.backbone",
    "PowerBertTextClassifier": "model.classifier",
    "PowerBertTextClassifierPreprocessor": "model.preprocessor",
    "PowerBertTokenizer": "model.preprocessor",
    "Retention": "elimination.retention",
    "speed_up": "train.speed_up",
}

install()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'power_bert' has no attribute {name!r}")
    register()
    value = globals()[name] = getattr(importlib.import_module(f"power_bert.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
