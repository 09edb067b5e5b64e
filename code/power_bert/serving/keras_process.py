"""A Keras model in a process of its own, for the server: TensorFlow stays out of the server's process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import Lock, Timer
from typing import Any

import numpy as np

from power_bert.child_processes import ChildProcess, start_child
from power_bert.errors import UserError
from power_bert.process_environment import THREAD_VARIABLES
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.serving.hosted_models import Example, ProcessLost
from power_bert_runtime.word_pieces import WordPieces

_NO_LIMIT = 1 << 30
_LONGEST_LOADING_S = 600.0


@dataclass(frozen=True)
class _Loaded:
    """What the process says of its model; the tokenizer is used here, so that only inference takes the way there."""

    tokenizer: WordPieces
    labels: tuple[str, ...]
    takes_pairs: bool
    max_length: int
    size_bytes: int
    metadata: dict[str, Any]


class KerasProcess:
    """A run or checkpoint that TensorFlow computes in a process of its own; a lost process is started again.

    Attributes are those of `power_bert_runtime.Classifier`; `size_bytes` is that of the weights in float32.

    Attributes:
        answer_timeout_s: Time after which a process that has not answered is killed, in seconds.

    Args:
        target: Run or checkpoint, as for `resolve_model`.
        threads: CPU threads of TensorFlow; None for all cores.

    Raises:
        UserError: There is no such model, or it cannot be loaded.
    """

    runtime = "tensorflow"

    def __init__(self, target: str, threads: int | None = None) -> None:
        self._target, self._threads, self._lock = target, threads, Lock()
        self.answer_timeout_s = 60.0
        self._child: ChildProcess | None = None
        self._is_loaded = self._is_closed = False
        loaded = self._start()
        self._tokenizer = loaded.tokenizer
        self.labels, self.takes_pairs, self.max_length = loaded.labels, loaded.takes_pairs, loaded.max_length
        self.size_bytes, self.metadata = loaded.size_bytes, loaded.metadata

    @property
    def is_regression(self) -> bool:
        """Whether the output is one score."""
        return not self.labels

    @property
    def is_ready(self) -> bool:
        """Whether the process runs and has loaded the model."""
        child = self._child
        return child is not None and self._is_loaded and not wait([child.process.sentinel], timeout=0)

    def encode(self, texts: Sequence[Example], truncate: bool = True) -> EncodedTexts:
        """Encode texts, or pairs of texts, as token ids."""
        length = self.max_length if truncate else _NO_LIMIT
        if self.takes_pairs:
            return self._tokenizer.encode([pair[0] for pair in texts], [pair[1] for pair in texts], length)
        return self._tokenizer.encode([str(text) for text in texts], None, length)

    def run(self, encoded: EncodedTexts) -> np.ndarray:
        """Return probabilities or scores, float32 (examples, outputs).

        Raises:
            ProcessLost: The process has ended, or did not answer and was killed; the next call starts it again.
        """
        with self._lock:
            if self._child is None:
                try:
                    self._start()
                except UserError as error:
                    raise ProcessLost(str(error)) from error
            answer = self._ask(encoded, self.answer_timeout_s)
        if isinstance(answer, Exception):
            raise answer
        outputs: np.ndarray = answer
        return outputs

    def restart(self) -> None:
        """Start the process again if it has ended.

        Raises:
            UserError: The model cannot be loaded.
        """
        with self._lock:
            if not self.is_ready:
                self._end()
                self._start()

    def close(self) -> None:
        """End the process, also while it computes."""
        self._is_closed = True
        if (child := self._child) is not None:
            child.process.kill()  # whoever waits for its answer then lets go of the lock
        with self._lock:
            self._end()

    def _start(self) -> _Loaded:
        self._is_loaded = False
        self._child = child = start_child(_compute, self._target, self._threads)
        if self._is_closed:
            child.process.kill()
        try:
            answer = self._ask(None, _LONGEST_LOADING_S)
        except ProcessLost as error:
            raise UserError(f"{self._target}: cannot be loaded, {error} (what it said is above)") from None
        if isinstance(answer, Exception):
            self._end()
            raise answer
        self._is_loaded = True
        loaded: _Loaded = answer
        return loaded

    def _ask(self, question: EncodedTexts | None, timeout_s: float) -> Any:
        """Send a question, if it is one, and return the answer; a process that hangs is killed."""
        child = self._child
        if child is None:
            raise ValueError("there is no process")
        began = time.monotonic()
        # Not `poll`: a process that hangs may not even read the question.
        killer = Timer(timeout_s, child.process.kill)
        killer.start()
        try:
            if question is not None:
                child.connection.send(question)
            return child.connection.recv()
        except (EOFError, OSError):
            child.process.join()
            code = child.process.exitcode or 0
            self._child = None
            if time.monotonic() - began >= timeout_s:
                raise ProcessLost(f"its process did not answer within {timeout_s:g} s and was killed") from None
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            raise ProcessLost(f"its process has ended ({how})") from None
        finally:
            killer.cancel()

    def _end(self) -> None:
        if self._child is not None:
            self._child.process.kill()
            self._child.process.join()
            self._child = None


def _compute(target: str, threads: int | None, connection: Connection) -> None:
    """Load a model, describe it, and answer encoded texts with outputs, in the process of the model."""
    # Ctrl-C reaches this process too, but the server first finishes the requests that it has accepted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    from power_bert.quiet import import_backend

    import_backend()
    from scipy.special import softmax

    from power_bert.model.classifier_building import plain_tokenizer
    from power_bert.predict.forward import compiled_forward
    from power_bert.predict.predict_texts import EVALUATION_BATCH_SIZE, predict_outputs
    from power_bert.predict.usable_model import UsableModel
    from power_bert.runs.trained_model import load_trained_model

    try:
        model = load_trained_model(target)
    except UserError as error:
        connection.send(error)
        return
    classifier, task = model.classifier, model.task
    forward = compiled_forward(classifier)
    labels = tuple(UsableModel.of(model).predictor.names or ())
    metadata = {"task": task.name if task else None, "retention": model.retention}
    takes_pairs = task is not None and task.is_pair
    size = 4 * classifier.count_params()
    connection.send(_Loaded(plain_tokenizer(classifier), labels, takes_pairs, model.max_length, size, metadata))
    while True:
        encoded = connection.recv()
        try:
            outputs = predict_outputs(forward, encoded, EVALUATION_BATCH_SIZE, model.max_length)
            connection.send(softmax(outputs, axis=-1) if labels else outputs)
        except Exception as error:
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
