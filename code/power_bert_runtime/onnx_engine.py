"""Inference of exported classifiers with ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from power_bert_runtime.batching import run_batches
from power_bert_runtime.contents import INPUT_NAMES, OUTPUT_NAME
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.parsing import parsing
from power_bert_runtime.stored_files import REMEDY, settings_inside

_ERRORS_ONLY = 3


def make_session(model: bytes | str, threads: int, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    """Load a model with all optimizations of ONNX Runtime.

    Args:
        model: Content or path of the .onnx file.
        threads: CPU threads of one operation.
        optimized: Path to which the optimized graph is written; None does not write it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxEngine:
    """A .onnx file, whose batch and length are dynamic.

    Args:
        content: Content of the file.
        path: Its path, for messages.
        threads: CPU threads.
        batch_size: Examples per batch.
    """

    runtime = "onnxruntime"

    def __init__(self, content: bytes, path: Path, threads: int, batch_size: int) -> None:
        with parsing(path, "a model that ONNX Runtime can run", REMEDY):
            self._session = make_session(content, threads)
            inside = self._session.get_modelmeta().custom_metadata_map
        self.files = {name: text.encode() for name, text in inside.items()}
        self.settings = settings_inside(self.files, path)
        self._batch_size = batch_size

    def run(self, encoded: EncodedTexts, pad_to: int | None = None) -> np.ndarray:
        """Return probabilities or scores, float32 (examples, outputs)."""
        return run_batches(self._run, encoded, self._batch_size, lambda length: pad_to or length)

    def _run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        (outputs,) = self._session.run([OUTPUT_NAME], {name: inputs[name] for name in INPUT_NAMES})
        return np.asarray(outputs)

    def close(self) -> None:
        del self._session
