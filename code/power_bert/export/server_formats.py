"""The formats for servers: ONNX, OpenVINO and SavedModel, whose batch and length are dynamic.

Each format converts a classifier in one of its forms, writes it with the files inside, and reads it back as its clients
do, for the comparison with Keras.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from power_bert.errors import UserError, shorten
from power_bert.export.exporter_checks import eliminates
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert_runtime import Classifier
from power_bert_runtime.batching import run_batches
from power_bert_runtime.contents import INPUT_NAMES, ONNX, OPENVINO, OUTPUT_NAME, PRIMARY_SIGNATURE, SETTINGS_FILE
from power_bert_runtime.cores import available_cores
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.stored_files import NO_CHECKSUM, checksum_of, read_file
from power_bert_runtime.stored_settings import parse_settings

SAVED_MODEL = "saved_model"
# Folder of a SavedModel in which programs may put files of their own.
SAVED_MODEL_EXTRA = "assets.extra"
Run = Callable[[EncodedTexts], np.ndarray]
_BATCH_SIZE = 32


class ServerFormat(Protocol):
    """A format for servers.

    Attributes:
        name: Name of the format.
        suffix: File name extension; empty for a folder.
        forms: Forms of quantization that it has, the smallest first.
    """

    name: str
    suffix: str
    forms: tuple[str, ...]

    def convert(
        self, classifier: PowerBertTextClassifier, form: str, encoded: EncodedTexts | None, protects: bool
    ) -> Any:
        """Return the classifier in a form.

        Args:
            classifier: Classifier without extraction or with hard extraction, or a student.
            form: One of `forms`.
            encoded: Calibration examples for "int8"; None for other forms.
            protects: Whether what chooses the tokens stays in float32.
        """

    def write(self, converted: Any, files: Mapping[str, bytes], path: Path) -> list[Path]:
        """Write a model with the files inside; returns all files or folders that were written, `path` last."""

    def checksum(self, converted: Any) -> str:
        """Return the checksum for the settings, or `NO_CHECKSUM` if `write` computes it."""

    def open(self, converted: Any) -> Run:
        """Return a function that runs the model in the format's runtime."""

    def read_back(self, path: Path) -> dict[str, Any]:
        """Open what was written as its users do, and return the settings inside.

        Raises:
            UserError: It cannot be opened.
        """
        with Classifier(path) as classifier:
            return dict(classifier.metadata)

    def report(self, converted: Any, classifier: PowerBertTextClassifier) -> tuple[list[str], dict[str, Any]]:
        """Return lines for the user on what the runtime makes of the model, and further settings for the file."""


class OnnxFormat(ServerFormat):
    """One .onnx file; the files inside are its metadata."""

    name, suffix, forms = ONNX, ".onnx", ("dynamic", "int8", "none")

    def convert(
        self, classifier: PowerBertTextClassifier, form: str, encoded: EncodedTexts | None, protects: bool
    ) -> Any:
        from power_bert.export.onnx_classifier import onnx_model
        from power_bert.export.onnx_fusion import fuse
        from power_bert.export.onnx_quantization import choosing_nodes, quantize_onnx

        model = onnx_model(classifier, int8_tables=form != "none")
        protected = choosing_nodes(model) if protects else []
        if isinstance(classifier.backbone, PowerBertBackbone):
            model = fuse(model, classifier.backbone)
        return model if form == "none" else quantize_onnx(model, encoded, protected)

    def write(self, converted: Any, files: Mapping[str, bytes], path: Path) -> list[Path]:
        from onnx import helper

        texts = {name: content.decode() for name, content in files.items()}
        helper.set_model_props(converted, texts)
        content = converted.SerializeToString()
        path.write_bytes(content.replace(NO_CHECKSUM.encode(), checksum_of(content).encode()))
        return [path]

    def checksum(self, converted: Any) -> str:
        return NO_CHECKSUM

    def open(self, converted: Any) -> Run:
        from power_bert_runtime.onnx_engine import make_session

        session = make_session(converted.SerializeToString(), available_cores())

        def run_batch(inputs: dict[str, np.ndarray]) -> np.ndarray:
            return np.asarray(session.run([OUTPUT_NAME], inputs)[0])

        return lambda encoded: run_batches(run_batch, encoded, _BATCH_SIZE)

    def report(self, converted: Any, classifier: PowerBertTextClassifier) -> tuple[list[str], dict[str, Any]]:
        from power_bert.export.onnx_fusion import fused_operators

        fused = fused_operators(converted.SerializeToString())
        lines = [f"fused      {count} × {pattern}" for pattern, count in fused.items() if count]
        if eliminates(classifier) and fused["attention"] < classifier.backbone.num_layers:
            lines.append(
                "not fused  attention of the blocks that choose tokens, which need its probabilities, or that have one "
                "token left"
            )
        return lines, {"fused": fused}


class OpenVinoFormat(ServerFormat):
    """An .xml file with its .bin; the files inside are in the model's `rt_info`."""

    name, suffix, forms = OPENVINO, ".xml", ("dynamic", "int8", "float16", "none")

    def convert(
        self, classifier: PowerBertTextClassifier, form: str, encoded: EncodedTexts | None, protects: bool
    ) -> Any:
        from power_bert.export.openvino_model import openvino_model

        return openvino_model(classifier, form, encoded, protects)

    def write(self, converted: Any, files: Mapping[str, bytes], path: Path) -> list[Path]:
        import openvino

        from power_bert_runtime.openvino_engine import FILES_KEY

        converted.set_rt_info(json.dumps({name: content.decode() for name, content in files.items()}), FILES_KEY)
        openvino.save_model(converted, path, compress_to_fp16=False)
        return [path.with_suffix(".bin"), path]

    def checksum(self, converted: Any) -> str:
        import tempfile

        import openvino

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.xml"
            openvino.save_model(converted, path, compress_to_fp16=False)
            return checksum_of(path.with_suffix(".bin").read_bytes())

    def open(self, converted: Any) -> Run:
        from power_bert_runtime.openvino_engine import compile_model

        request = compile_model(converted, available_cores()).create_infer_request()

        def run_batch(inputs: dict[str, np.ndarray]) -> np.ndarray:
            return np.array(request.infer(inputs)[OUTPUT_NAME])

        return lambda encoded: run_batches(run_batch, encoded, _BATCH_SIZE)

    def report(self, converted: Any, classifier: PowerBertTextClassifier) -> tuple[list[str], dict[str, Any]]:
        from power_bert.export.openvino_model import compiled_operations

        before, after = compiled_operations(converted)
        return [f"fused      {before} operations of the graph into {after} of OpenVINO"], {}


class SavedModelFormat(ServerFormat):
    """A folder of TensorFlow Serving; the files inside are its `assets.extra`."""

    name, suffix, forms = SAVED_MODEL, "", ("none",)

    def convert(
        self, classifier: PowerBertTextClassifier, form: str, encoded: EncodedTexts | None, protects: bool
    ) -> Any:
        import keras

        if keras.backend.backend() != "tensorflow":
            raise UserError(
                "--format saved_model needs TensorFlow: leave BACKEND empty, or set BACKEND=tensorflow. ONNX and "
                "OpenVINO are exported with any backend"
            )
        import tensorflow as tf

        module = tf.Module()
        module.variables_of_function = [weight.value for weight in classifier.weights]

        def predict(ids: Any, mask: Any, segment_ids: Any) -> dict[str, Any]:
            inputs = {"token_ids": ids, "padding_mask": mask, "segment_ids": segment_ids}
            logits = classifier(inputs, training=False)  # (batch, outputs)
            return {OUTPUT_NAME: logits if classifier.is_regressor else tf.nn.softmax(logits)}

        signature = [tf.TensorSpec((None, None), tf.int32, name=name) for name in INPUT_NAMES]
        module.predict = tf.function(predict, input_signature=signature, autograph=False)
        return module

    def write(self, converted: Any, files: Mapping[str, bytes], path: Path) -> list[Path]:
        import tensorflow as tf

        tf.saved_model.save(converted, str(path), {PRIMARY_SIGNATURE: converted.predict})
        extra = path / SAVED_MODEL_EXTRA
        extra.mkdir()
        for name, content in files.items():
            (extra / name).write_bytes(content)
        return [path]

    def read_back(self, path: Path) -> dict[str, Any]:
        import tensorflow as tf

        try:
            signature = tf.saved_model.load(str(path)).signatures[PRIMARY_SIGNATURE]
            ids, mask, segment_ids = INPUT_NAMES
            example = {ids: tf.ones((1, 2), tf.int32), mask: tf.ones((1, 2), tf.int32)}
            signature(**example, **{segment_ids: tf.zeros((1, 2), tf.int32)})[OUTPUT_NAME].numpy()
        except (OSError, KeyError, ValueError, TypeError, tf.errors.OpError) as error:
            raise UserError(f"{path}: TensorFlow cannot open it: {shorten(str(error))}") from error
        return saved_model_settings(path)

    def checksum(self, converted: Any) -> str:
        checksum = hashlib.sha256()
        for variable in converted.variables_of_function:
            checksum.update(variable.numpy().tobytes())
        return checksum.hexdigest()

    def open(self, converted: Any) -> Run:
        def run_batch(inputs: dict[str, np.ndarray]) -> np.ndarray:
            return np.asarray(converted.predict(*(inputs[name] for name in INPUT_NAMES))[OUTPUT_NAME])

        return lambda encoded: run_batches(run_batch, encoded, _BATCH_SIZE)

    def report(self, converted: Any, classifier: PowerBertTextClassifier) -> tuple[list[str], dict[str, Any]]:
        return [], {}


def is_saved_model(path: Path) -> bool:
    """Return whether a path is the folder of a SavedModel."""
    return (path / "saved_model.pb").is_file()


def saved_model_settings(path: Path) -> dict[str, Any]:
    """Read the settings inside a SavedModel.

    Raises:
        UserError: The settings are missing or damaged.
    """
    file = path / SAVED_MODEL_EXTRA / SETTINGS_FILE
    return parse_settings(read_file(file, "SavedModel of this project"), file, "Export it again.")


SERVER_FORMATS: dict[str, ServerFormat] = {
    ONNX: OnnxFormat(),
    OPENVINO: OpenVinoFormat(),
    SAVED_MODEL: SavedModelFormat(),
}
