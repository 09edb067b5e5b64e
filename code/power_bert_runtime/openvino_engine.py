"""Inference of exported classifiers with OpenVINO on the CPU."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import openvino

from power_bert_runtime.batching import run_batches
from power_bert_runtime.contents import INPUT_NAMES, OUTPUT_NAME
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.padding import bucket_length
from power_bert_runtime.parsing import parsing
from power_bert_runtime.stored_files import REMEDY, settings_inside

# Where an .xml file holds the files inside, as one JSON object of name → content.
FILES_KEY = "power_bert_files"


def compile_model(model: openvino.Model, threads: int) -> openvino.CompiledModel:
    """Compile a model for the CPU, for the lowest latency, in float32 where it is not quantized.

    By default OpenVINO computes in bfloat16 on CPUs that have it (AVX512-BF16, AMX): probabilities then differ from
    those on other machines by a few percent.

    Args:
        model: The model.
        threads: CPU threads of one call.
    """
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    return openvino.Core().compile_model(model, "CPU", options)


class OpenVinoEngine:
    """An .xml file of OpenVINO with its .bin, whose batch and length are dynamic.

    Args:
        path: Path of the .xml file.
        threads: CPU threads.
        batch_size: Examples per batch.
    """

    runtime = "openvino"

    def __init__(self, path: Path, threads: int, batch_size: int) -> None:
        with parsing(path, "a model that OpenVINO can run", REMEDY):
            model = openvino.Core().read_model(path)
            inside = json.loads(str(model.get_rt_info(FILES_KEY).value)) if model.has_rt_info(FILES_KEY) else {}
            self._compiled = compile_model(model, threads)
            self._request = self._compiled.create_infer_request()
        self.files = {name: text.encode() for name, text in inside.items()}
        self.settings = settings_inside(self.files, path)
        self._batch_size, self._lock = batch_size, threading.Lock()

    def run(self, encoded: EncodedTexts, pad_to: int | None = None) -> np.ndarray:
        """Return probabilities or scores, float32 (examples, outputs); one call at a time runs."""
        longest = self.settings["max_length"]
        # OpenVINO prepares its kernels anew for each length, so few distinct ones are used.
        with self._lock:
            return run_batches(
                self._run, encoded, self._batch_size, lambda length: pad_to or bucket_length(length, longest)
            )

    def _run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        outputs = self._request.infer({name: inputs[name] for name in INPUT_NAMES})
        return np.array(outputs[OUTPUT_NAME])

    def close(self) -> None:
        del self._request, self._compiled
