"""A model that counts words, which stands for an exported one, and servers of such models in this process."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve': EXTRAS=serve bash run.sh test")

from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.serving.application import create_app
from power_bert_runtime.serving.hosted_models import ProcessLost
from power_bert_runtime.serving.server_settings import ServerSettings


class WordCounter:
    """A classifier whose probabilities depend on the number of words alone; `allowed` holds its computations back."""

    runtime = "counting"
    size_bytes = 1000
    metadata: ClassVar[dict[str, Any]] = {"task": "counting"}

    def __init__(
        self, labels: tuple[str, ...] = ("short", "long"), takes_pairs: bool = False, max_length: int = 10
    ) -> None:
        self.labels, self.takes_pairs, self.max_length = labels, takes_pairs, max_length
        self.is_regression = not labels
        self.allowed = threading.Event()
        self.allowed.set()
        self.is_running = threading.Event()
        self.batches: list[list[int]] = []
        self.error: Exception | None = None
        self.is_closed = False

    def encode(self, texts: Sequence[str | tuple[str, str]], truncate: bool = True) -> EncodedTexts:
        words = [" ".join([text] if isinstance(text, str) else text).split() for text in texts]
        lengths = [min(len(each), self.max_length) if truncate else len(each) for each in words]
        return EncodedTexts.from_rows([[1] * length for length in lengths], lengths)

    def run(self, encoded: EncodedTexts) -> np.ndarray:
        self.is_running.set()
        assert self.allowed.wait(10)
        if self.error is not None:
            raise self.error
        self.batches.append(encoded.lengths.tolist())
        share = (encoded.lengths / self.max_length)[:, None].astype(np.float32)
        if self.is_regression:
            return share
        order = np.argsort(np.array(self.labels) != "short")
        return np.concatenate([1 - share, share], axis=1)[:, order]

    def close(self) -> None:
        self.is_closed = True


class CountingProcess(WordCounter):
    """A WordCounter in what stands for a process of its own; closing it ends a computation that is held back."""

    def __init__(self) -> None:
        super().__init__()
        self.answer_timeout_s = 60.0
        self.is_ready = True
        self.restarts = 0

    def run(self, encoded: EncodedTexts) -> np.ndarray:
        outputs = super().run(encoded)
        if self.is_closed or not self.is_ready:
            raise ProcessLost("its process has ended (SIGKILL)")
        return outputs

    def restart(self) -> None:
        self.restarts += 1
        if self.error is not None:
            raise self.error
        self.is_ready = True

    def close(self) -> None:
        super().close()
        self.allowed.set()


@pytest.fixture
def counting_process() -> type[CountingProcess]:
    return CountingProcess


@pytest.fixture
def word_counter() -> type[WordCounter]:
    return WordCounter


@pytest.fixture
def open_server() -> Iterator[Callable[..., Any]]:
    """Starts a server in this process and returns a client of it; arguments are its models and settings."""
    from starlette.testclient import TestClient

    with ExitStack() as stack:

        def start(page: Any = None, *, models: dict[str, Any] | None = None, **settings: Any) -> Any:
            app = create_app(models or {"counter": WordCounter()}, ServerSettings(**settings), page)
            return stack.enter_context(TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False))

        yield start
