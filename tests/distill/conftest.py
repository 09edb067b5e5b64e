"""Gradients, on the backend in use and by finite differences; tiny data, teachers and runs."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.distill_config import Distillation, resolve_distillation
from power_bert.run_dir import RunDir


@pytest.fixture(scope="session")
def gradient() -> Callable[..., np.ndarray]:
    """The gradient of the sum of a function's values with respect to its float array, by the backend."""

    def compute(function: Callable[[Any], Any], array: np.ndarray) -> np.ndarray:
        import keras

        if keras.backend.backend() == "jax":
            import jax

            return np.asarray(jax.grad(lambda value: keras.ops.sum(function(value)))(jax.numpy.asarray(array)))
        import tensorflow as tf

        tensor = tf.convert_to_tensor(array)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            total = keras.ops.sum(function(tensor))
        return np.asarray(tape.gradient(total, tensor))

    return compute


@pytest.fixture(scope="session")
def finite_differences() -> Callable[..., np.ndarray]:
    """The same from a NumPy function in float64, by central differences."""

    def compute(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
        values = np.asarray(array, np.float64)
        result = np.zeros_like(values)
        for index in np.ndindex(*values.shape):
            shift = np.zeros_like(values)
            shift[index] = step
            result[index] = (function(values + shift).sum() - function(values - shift).sum()) / (2 * step)
        return result

    return compute


WORDS = {
    "good": ("fine", "nice", "great", "lovely", "bright"),
    "bad": ("awful", "sad", "dull", "poor", "grim"),
    "plain": ("table", "road", "paper", "stone", "glass"),
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "is", "very"]
VOCABULARY += [word for words in WORDS.values() for word in words]
ROWS = {"train": 36, "dev": 12, "test": 9}


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A custom task of three classes, each with words of its own; test data have labels."""
    folder = tmp_path_factory.mktemp("data")
    for seed, (split, count) in enumerate(ROWS.items()):
        generator = np.random.default_rng(seed)
        rows = []
        for number in range(count):
            label = list(WORDS)[number % 3]
            rows.append({"text": f"the {' '.join(generator.choice(WORDS[label], 3))} is very", "label": label})
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return folder


def save_teacher(folder: Path, seed: int = 1, labels: tuple[str, ...] = ("bad", "good", "plain")) -> Path:
    """A preset of a BERT with 3 blocks and random weights."""
    import keras

    from power_bert.model.backbone import PowerBertBackbone
    from power_bert.model.classifier import PowerBertTextClassifier
    from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer

    keras.utils.set_random_seed(seed)
    backbone = PowerBertBackbone(len(VOCABULARY), 3, 2, 8, 12, max_sequence_length=20, initializer_range=0.7)
    preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(VOCABULARY), 16)
    PowerBertTextClassifier(backbone, len(labels), preprocessor, labels).save_to_preset(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "preset")


@pytest.fixture(scope="session")
def make_settings(tiny_data: Path, tiny_teacher: Path) -> Callable[..., Distillation]:
    """Settings of a run on the tiny data; arguments replace them, and "teachers": () leaves the student alone."""

    def make(out: Path, **changes: Any) -> Distillation:
        settings: dict[str, Any] = {
            **{"task": "custom", "data_dir": str(tiny_data), "text_columns": "text", "output_dir": str(out)},
            **{"student": "linear", "teachers": (str(tiny_teacher),), "vocabulary": str(tiny_teacher)},
            **{"epochs": 3, "batch_size": 8, "max_length": 12, "teacher_max_length": 16},
        }
        given = settings | changes
        return resolve_distillation({name: value for name, value in given.items() if value is not None})

    return make


@dataclass(frozen=True)
class Outcome:
    """A distilled run that is done, and what it printed."""

    run_dir: RunDir
    output: str


@pytest.fixture
def run_tiny(make_settings: Callable[..., Distillation], tmp_path: Path) -> Callable[..., Outcome]:
    """Distils in this process; the cache of logits is that of the test."""

    def run(name: str = "run", **changes: Any) -> Outcome:
        from power_bert.distill.driver import distill

        console = Console(file=io.StringIO(), width=200)
        settings = make_settings(tmp_path / name, **changes)
        run_dir = distill(settings, console=console, logits_folder=tmp_path / "logits")
        return Outcome(run_dir, console.file.getvalue())  # type: ignore[attr-defined]

    return run
