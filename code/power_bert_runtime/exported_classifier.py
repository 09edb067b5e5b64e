"""Classification of texts with an exported file: `Classifier("model.onnx").predict(texts)`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from power_bert_runtime.contents import FORMATS, ONNX, OPENVINO, TFLITE, VOCABULARY_FILE
from power_bert_runtime.cores import available_cores
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.errors import UserError, shorten
from power_bert_runtime.stored_files import (
    TfliteFile,
    checksum_of,
    damaged,
    parse_tflite,
    read_file,
    settings_inside,
    tokenizer_inside,
)

Text = str | tuple[str, str]
# Format → package of the runtime that it needs.
_PACKAGES = {TFLITE: "ai-edge-litert", ONNX: "onnxruntime", OPENVINO: "openvino"}
# Settings that are equal in all files of one model.
_SHARED = ("task", "labels", "pairs", "regression", "weights_sha256")


@dataclass(frozen=True)
class Prediction:
    """Prediction of one example.

    Attributes:
        label: Predicted class; None for a regression.
        score: Probability of the class, or the predicted value of a regression.
        probabilities: Class → probability, in the order of the model's outputs; empty for a regression.
    """

    label: str | None
    score: float
    probabilities: dict[str, float]


class Engine(Protocol):
    """A loaded model in one of the runtimes."""

    runtime: str

    def run(self, encoded: EncodedTexts, pad_to: int | None = None) -> np.ndarray:
        """Return probabilities or scores, float32 (examples, outputs)."""

    def close(self) -> None:
        """Free the model."""


@dataclass(frozen=True)
class _Loaded:
    engine: Engine
    paths: Sequence[Path]
    files: Mapping[str, bytes]
    settings: dict[str, Any]


class Classifier:
    """An exported classifier. Its methods can be called from any thread.

    Args:
        models: One `.onnx` file, one `.xml` file of OpenVINO, or one or more `.tflite` files of the same model and of
            different lengths. For a single `model.tflite`, files such as `model-32.tflite` beside it are found, if
            they were exported from the same weights. Each example runs at the shortest length that it fits.
        threads: CPU threads of a call; None for all cores of this process.
        batch_size: Examples per batch; LiteRT runs one at a time.

    Attributes:
        path: Path of the first file.
        name: Name of the first file, without its extension.
        runtime: "onnxruntime", "litert" or "openvino".
        labels: Class names in the order of the outputs; empty for a regression.
        is_regression: Whether the output is one score.
        takes_pairs: Whether each example is a pair of texts.
        max_length: Largest length of an example, in tokens; longer ones are truncated.
        vocabulary_size: Number of tokens in the vocabulary.
        metadata: All settings that the file holds (`power_bert.json`).
        size_bytes: Size of all files.
        threads: CPU threads of a call.

    Raises:
        UserError: A file is missing, damaged or not an export of this project, the files are not of one model, or the
            runtime of their format is not installed.
    """

    def __init__(self, *models: str | os.PathLike[str], threads: int | None = None, batch_size: int = 32) -> None:
        self.threads = threads or available_cores()
        loaded = _load([Path(model).expanduser() for model in models], self.threads, batch_size)
        self._engine, settings = loaded.engine, loaded.settings
        self.path, self.name, self.runtime = loaded.paths[0], loaded.paths[0].stem, loaded.engine.runtime
        self.size_bytes = sum(_size(path) for path in loaded.paths)
        self.metadata = settings
        self.is_regression = bool(settings.get("regression", False))
        self.takes_pairs = bool(settings.get("pairs", False))
        self.labels = tuple(settings.get("labels", ()))
        self.max_length = int(settings["max_length"])
        if not self.labels and not self.is_regression:
            raise UserError(f"{self.path}: names no labels, and is no regression; export it again with --labels")
        self._tokenizer = tokenizer_inside(loaded.files, settings, self.path)
        self.vocabulary_size = self._tokenizer.vocabulary_size

    def predict(self, texts: Sequence[Text]) -> list[Prediction]:
        """Predict texts, or pairs of texts, in their order.

        Raises:
            UserError: An example is not a text, or not a pair, as the model takes them.
        """
        return self.predictions(self.run(self.encode(texts)))

    def encode(self, texts: Sequence[Text], truncate: bool = True) -> EncodedTexts:
        """Encode texts, or pairs of texts, as token ids.

        Args:
            texts: Texts or pairs.
            truncate: Whether to truncate texts of more than `max_length` tokens, which `run` does not take.

        Raises:
            UserError: An example is not a text, or not a pair, as the model takes them.
        """
        if isinstance(texts, str):
            raise UserError(f"expected a list of texts, not the text {shorten(repr(texts), 60)}: put it in a list")
        for number, text in enumerate(texts):
            if not (_is_pair(text) if self.takes_pairs else isinstance(text, str)):
                wanted = "a pair of texts" if self.takes_pairs else "a text"
                raise UserError(f"{self.name}, example {number}: {shorten(repr(text), 60)}; expected {wanted}")
        length = self.max_length if truncate else sys.maxsize
        if self.takes_pairs:
            return self._tokenizer.encode([pair[0] for pair in texts], [pair[1] for pair in texts], length)
        return self._tokenizer.encode([str(text) for text in texts], None, length)

    def run(self, encoded: EncodedTexts, pad_to: int | None = None) -> np.ndarray:
        """Return probabilities, or the scores of a regression, float32 (examples, outputs).

        Args:
            encoded: Encoded examples.
            pad_to: Length to which all batches are padded, for benchmarks; None pads them as little as possible.
        """
        if not len(encoded):
            return np.zeros((0, max(len(self.labels), 1)), np.float32)
        return self._engine.run(encoded, pad_to)

    def predictions(self, outputs: np.ndarray) -> list[Prediction]:
        """Return the predictions that outputs (examples, outputs) stand for."""
        if self.is_regression:
            return [Prediction(None, float(score), {}) for score in outputs[:, 0]]
        best = outputs.argmax(axis=-1)
        return [
            Prediction(self.labels[index], row[index], dict(zip(self.labels, row, strict=True)))
            for index, row in zip(best.tolist(), outputs.tolist(), strict=True)
        ]

    def close(self) -> None:
        """Free the memory of the model; nothing can be predicted afterwards."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _is_pair(example: Any) -> bool:
    return isinstance(example, tuple | list) and len(example) == 2 and all(isinstance(text, str) for text in example)


def _load(paths: Sequence[Path], threads: int, batch_size: int) -> _Loaded:
    formats = {FORMATS.get(path.suffix, path.suffix) for path in paths}
    if (
        not paths
        or len(formats) > 1
        or not formats <= set(FORMATS.values())
        or (len(paths) > 1 and TFLITE not in formats)
    ):
        named = ", ".join(map(str, paths)) or "no file"
        raise UserError(f"{named}: expected one .onnx or .xml file, or .tflite files of one model")
    loaders: dict[str, Callable[[], _Loaded]] = {
        TFLITE: lambda: _load_tflite(paths, threads),
        ONNX: lambda: _load_onnx(paths[0], threads, batch_size),
        OPENVINO: lambda: _load_openvino(paths[0], threads, batch_size),
    }
    kind = FORMATS[paths[0].suffix]
    try:
        return loaders[kind]()
    except ImportError as error:
        raise UserError(
            f"{paths[0]}: needs the package {_PACKAGES[kind]} ({error}). Install it: pip install {_PACKAGES[kind]}"
        ) from None


def _load_tflite(paths: Sequence[Path], threads: int) -> _Loaded:
    files = [parse_tflite(read_file(path, ".tflite file"), path) for path in paths]
    for file in files:
        settings_inside(file.files, file.path)
    if len(files) == 1:
        files += _siblings(files[0])
    first = max(files, key=lambda file: file.settings["max_length"])
    for file in files:
        if not _is_same_model(file, first):
            raise UserError(f"{file.path} and {first.path}: not of one model; give files that one export has written")
    from power_bert_runtime.litert import LiteRtEngine

    return _Loaded(LiteRtEngine(files, threads), [file.path for file in files], first.files, first.settings)


def _siblings(file: TfliteFile) -> list[TfliteFile]:
    """Return the files of other lengths that the same export has written: model-32.tflite beside model.tflite."""
    if "weights_sha256" not in file.settings:
        return []
    beginning = f"{file.path.stem}-"
    paths = [
        path
        for path in sorted(file.path.parent.glob(f"*{file.path.suffix}"))
        if path.stem.startswith(beginning) and path.stem.removeprefix(beginning).isdecimal()
    ]
    found = [parse_tflite(read_file(path, ".tflite file"), path) for path in paths]
    return [other for other in found if _is_same_model(other, file)]


def _is_same_model(one: TfliteFile, other: TfliteFile) -> bool:
    shared = all(one.settings.get(name) == other.settings.get(name) for name in _SHARED)
    return shared and one.files.get(VOCABULARY_FILE) == other.files.get(VOCABULARY_FILE)


def _load_onnx(path: Path, threads: int, batch_size: int) -> _Loaded:
    from power_bert_runtime.onnx_engine import OnnxEngine

    content = read_file(path, ".onnx file")
    engine = OnnxEngine(content, path, threads, batch_size)
    expected = engine.settings.get("model_sha256")
    if expected and checksum_of(content, expected) != expected:
        raise damaged(path, "it is not as it was written (sha256)")
    return _Loaded(engine, [path], engine.files, engine.settings)


def _load_openvino(path: Path, threads: int, batch_size: int) -> _Loaded:
    from power_bert_runtime.openvino_engine import OpenVinoEngine

    weights = read_file(path.with_suffix(".bin"), "file of weights beside its .xml file")
    read_file(path, ".xml file of OpenVINO")
    engine = OpenVinoEngine(path, threads, batch_size)
    expected = engine.settings.get("model_sha256")
    if expected and checksum_of(weights) != expected:
        raise damaged(path.with_suffix(".bin"), "its weights are not those that were written (sha256)")
    return _Loaded(engine, [path], engine.files, engine.settings)


def _size(path: Path) -> int:
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(part.stat().st_size for part in parts)
