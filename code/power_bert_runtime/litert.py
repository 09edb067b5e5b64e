"""Inference of exported classifiers with LiteRT on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from power_bert_runtime.contents import OUTPUT_NAME, PRIMARY_SIGNATURE, signature_key
from power_bert_runtime.cores import available_cores
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.native_stderr import native_stderr_held_back
from power_bert_runtime.padding import pad_batch
from power_bert_runtime.parsing import parsing
from power_bert_runtime.stored_files import REMEDY, TfliteFile

T = TypeVar("T")


class LiteRtClassifier:
    """A loaded classifier that takes one example at a time.

    Args:
        model: Content of the .tflite file.
        signature: Key of the signature to run.
        threads: Number of threads for one operator.
    """

    def __init__(self, model: bytes, signature: str = PRIMARY_SIGNATURE, threads: int = 1) -> None:
        with native_stderr_held_back():
            self.interpreter = Interpreter(model_content=model, num_threads=threads)
            self.interpreter.allocate_tensors()
        self._run = self.interpreter.get_signature_runner(signature)
        self.length = int(self._run.get_input_details()["ids"]["shape"][1])

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return the probabilities (classes,), or for a regression the score (1,).

        Args:
            inputs: Inputs token_ids, segment_ids and padding_mask, int32 (1, `length`) each, as made by `pad_batch`.
        """
        outputs = self._run(ids=inputs["token_ids"], mask=inputs["padding_mask"], segment_ids=inputs["segment_ids"])
        return np.array(outputs[OUTPUT_NAME][0])  # (1, classes) → (classes,)


def predict_with_litert(
    model: bytes,
    encoded: EncodedTexts,
    signature: str = PRIMARY_SIGNATURE,
    advance: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Run an exported classifier on examples.

    Args:
        model: Content of the .tflite file.
        encoded: Encoded examples, none longer than the signature's inputs.
        signature: Key of the signature to run.
        advance: Progress callback: `advance(examples_done)`.

    Returns:
        Probabilities or scores, (examples, outputs).
    """
    return np.array(run_examples(model, encoded, lambda classifier, outputs: outputs, signature, advance))


def run_examples(
    model: bytes,
    encoded: EncodedTexts,
    read: Callable[[LiteRtClassifier, np.ndarray], T],
    signature: str = PRIMARY_SIGNATURE,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[T]:
    """Run an exported classifier on examples, with one single-threaded interpreter for each core.

    Args:
        model: Content of the .tflite file.
        encoded: Encoded examples, none longer than the signature's inputs.
        read: Called after each example with the classifier and its outputs, (outputs,).
        signature: Key of the signature to run.
        advance: Progress callback: `advance(examples_done)`.

    Returns:
        Results of `read` in the order of the examples.
    """
    workers = min(available_cores(), len(encoded))
    classifiers = [LiteRtClassifier(model, signature) for _ in range(workers)]

    def run(worker: int) -> list[T]:
        classifier, results = classifiers[worker], []
        for row in range(worker, len(encoded), workers):
            outputs = classifier(pad_batch(encoded, np.array([row]), classifier.length))
            results.append(read(classifier, outputs))
            advance(1)
        return results

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(run, range(workers)))
    return [parts[row % workers][row // workers] for row in range(len(encoded))]


class LiteRtEngine:
    """The .tflite files of one model; each example runs at the shortest length that it fits.

    A single example uses all threads for each operator; several examples are shared among interpreters of one thread,
    which is faster.

    Args:
        files: Files of the model.
        threads: CPU threads.
    """

    runtime = "litert"

    def __init__(self, files: Sequence[TfliteFile], threads: int) -> None:
        self._threads, self._lock, self._pool = threads, threading.Lock(), ThreadPoolExecutor(threads)
        self._files: dict[int, tuple[TfliteFile, str]] = {}
        for file in files:
            lengths = file.settings.get("lengths") or [file.settings["max_length"]]
            for length in lengths:
                self._files[length] = file, signature_key(length, max(lengths))
        self.lengths = np.array(sorted(self._files))
        self._load = cache(self._load_uncached)
        self._load(int(self.lengths[-1]), threads, 0)  # a damaged model is found at once

    def _load_uncached(self, length: int, threads: int, worker: int) -> LiteRtClassifier:
        """Load the interpreter of a length, once for each `worker`."""
        file, signature = self._files[length]
        with parsing(file.path, "a model that LiteRT can run", REMEDY):
            return LiteRtClassifier(file.model, signature, threads)

    def run(self, encoded: EncodedTexts, pad_to: int | None = None) -> np.ndarray:
        """Return probabilities or scores, float32 (examples, outputs); one call at a time runs."""
        lengths = self.lengths[np.searchsorted(self.lengths, np.maximum(encoded.lengths, pad_to or 1))]
        workers = min(self._threads, len(encoded))
        threads = self._threads if workers == 1 else 1

        def run(worker: int) -> list[np.ndarray]:
            rows = range(worker, len(encoded), workers)
            return [
                classifiers[lengths[row], worker](pad_batch(encoded, np.array([row]), int(lengths[row])))
                for row in rows
            ]

        with self._lock:
            classifiers = {
                (length, worker): self._load(int(length), threads, worker)
                for worker in range(workers)
                for length in np.unique(lengths[worker::workers])
            }
            parts = list(self._pool.map(run, range(workers)))
        return np.stack([parts[row % workers][row // workers] for row in range(len(encoded))])

    def close(self) -> None:
        self._pool.shutdown()
        self._load.cache_clear()
