"""Runs exported classifiers with LiteRT on the processor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from power_bert.cores import available_cores
from power_bert.export.conversion import OUTPUT_NAME, PRIMARY_SIGNATURE
from power_bert.quiet import native_stderr_held_back
from power_bert.text.batches import pad_batch
from power_bert.text.encoded_texts import EncodedTexts


class LiteRtClassifier:
    """An exported classifier, loaded; takes one example at a time. Load it in the main thread, call it in any one.

    Args:
        model: bytes of the .tflite file.
        signature: the signature to run.
        threads: for one operation.
    """

    def __init__(self, model: bytes, signature: str = PRIMARY_SIGNATURE, threads: int = 1) -> None:
        with native_stderr_held_back():
            self.interpreter = Interpreter(model_content=model, num_threads=threads)
            self.interpreter.allocate_tensors()
        self._run = self.interpreter.get_signature_runner(signature)
        self.length = int(self._run.get_input_details()["ids"]["shape"][1])

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities (classes,), or the score (1,).

        Args:
            inputs: token_ids, segment_ids and padding_mask, int32 (1, `length`), as `pad_batch` makes them.
        """
        outputs = self._run(ids=inputs["token_ids"], mask=inputs["padding_mask"], segment_ids=inputs["segment_ids"])
        return np.array(outputs[OUTPUT_NAME][0])


def predict_with_litert(
    model: bytes,
    encoded: EncodedTexts,
    signature: str = PRIMARY_SIGNATURE,
    advance: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Outputs of an exported classifier, (examples, classes), in the order of the examples.

    One single-threaded interpreter a core, each with a part of the examples.

    Args:
        model: bytes of the .tflite file.
        encoded: the examples, none longer than the signature's inputs.
        signature: the signature to run.
        advance: is told how many examples were done.
    """
    workers = min(available_cores(), len(encoded))
    classifiers = [LiteRtClassifier(model, signature) for _ in range(workers)]

    def predict(worker: int) -> list[np.ndarray]:
        classifier, outputs = classifiers[worker], []
        for row in range(worker, len(encoded), workers):
            outputs.append(classifier(pad_batch(encoded, np.array([row]), classifier.length)))
            advance(1)
        return outputs

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(predict, range(workers)))
    return np.array([parts[row % workers][row // workers] for row in range(len(encoded))])
