"""Models of the server: what it needs of a model, their names, and the inputs that they take."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from power_bert_runtime import UserError
from power_bert_runtime.contents import is_exported
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.serving.batch_queue import BatchQueue
from power_bert_runtime.serving.computing_turns import ComputingTurns
from power_bert_runtime.serving.request_errors import RequestError, invalid, not_found, too_large, unavailable
from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_settings import ServerSettings

# A text, or the two texts of a pair.
Example = str | tuple[str, str]
# JSON can escape half of a pair, which is no character.
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_log = logging.getLogger("power_bert_runtime.server")
_CHECK_INTERVAL_S = 1.0
# Starting a process costs a core for many seconds, which a model that cannot be loaded may not take all the time.
_PAUSE_AFTER_FAILED_START_S = 30.0


class ServableModel(Protocol):
    """What the server needs of a model; `Classifier` has it, and so can a model that runs elsewhere.

    The attributes are those of `Classifier`. `run` raises ProcessLost if the process of the model has ended.
    """

    @property
    def runtime(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def is_regression(self) -> bool: ...
    @property
    def takes_pairs(self) -> bool: ...
    @property
    def max_length(self) -> int: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def size_bytes(self) -> int: ...
    def encode(self, texts: Sequence[Example], truncate: bool = True) -> EncodedTexts: ...
    def run(self, encoded: EncodedTexts) -> np.ndarray: ...
    def close(self) -> None: ...


@runtime_checkable
class ModelProcess(ServableModel, Protocol):
    """A model that a process of its own computes, which can end or hang; `close` ends it while it computes, too.

    Attributes:
        answer_timeout_s: Time after which a process that has not answered is ended, in seconds.
    """

    answer_timeout_s: float

    @property
    def is_ready(self) -> bool:
        """Whether the process runs and has loaded the model."""

    def restart(self) -> None:
        """Start the process again if it has ended; raises UserError if the model cannot be loaded."""


class ProcessLost(Exception):
    """The process that computes a model has ended."""


class HostedModel:
    """A model with its name and its queue.

    Args:
        name: Name in requests.
        model: The model.
        executor: Thread in which the model computes.
        turns: Turns of all models of the server.
        settings: Limits and batching.
        metrics: Metrics of the server.
    """

    def __init__(
        self,
        name: str,
        model: ServableModel,
        executor: ThreadPoolExecutor,
        turns: ComputingTurns,
        settings: ServerSettings,
        metrics: ServerMetrics,
    ) -> None:
        self.name, self.model, self.executor, self.turns, self._settings = name, model, executor, turns, settings
        if isinstance(model, ModelProcess):
            model.answer_timeout_s = max(model.answer_timeout_s, settings.timeout_s)
        self.queue = BatchQueue(
            partial(_run_in_turn, turns, model.run), executor, settings, partial(metrics.count_batch, name)
        )
        metrics.add_model(name, self.queue.__len__)

    @property
    def is_ready(self) -> bool:
        """Whether the model can compute."""
        return not isinstance(self.model, ModelProcess) or self.model.is_ready

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each output; "score" for a regression."""
        return self.model.labels or ("score",)

    def check(self, examples: Sequence[Example]) -> None:
        """Check the examples of a request against the model and the limits.

        Raises:
            RequestError: There are no or too many examples, one is too long or no Unicode, or the model takes pairs and
                one is none.
        """
        limits = self._settings
        if not examples:
            raise invalid("no texts; send at least one")
        if len(examples) > limits.max_texts:
            raise too_large(f"{len(examples)} texts; a request may have {limits.max_texts}. Send several requests")
        for number, example in enumerate(examples, start=1):
            texts = (example,) if isinstance(example, str) else example
            if (len(texts) == 2) != self.model.takes_pairs:
                expected = "pairs of texts" if self.model.takes_pairs else "single texts"
                raise invalid(
                    f"text {number} is {'a pair' if len(texts) == 2 else 'a single text'}, and {self.name} classifies "
                    f'{expected}. A list of texts is [["one"], ["two"]], a list of pairs [["one", "two"], …]'
                )
            if (characters := max(map(len, texts))) > limits.max_characters:
                raise too_large(
                    f"text {number} has {characters} characters; {limits.max_characters} are allowed. Shorten it"
                )
            if any(map(_SURROGATE.search, texts)):
                raise invalid(f"text {number} is no Unicode: it has half of a surrogate pair")

    def encode(self, examples: Sequence[Example], truncate: bool, first_number: int = 1) -> EncodedTexts:
        """Tokenize the examples of a request.

        Args:
            examples: Texts or pairs.
            truncate: Whether texts of more tokens than the model takes are truncated.
            first_number: Number of the first of them in the request.

        Raises:
            RequestError: A text has more tokens than the model takes, and may not be truncated.
        """
        encoded = self.model.encode(examples, truncate=truncate)
        longest = int(encoded.lengths.argmax())
        if (tokens := int(encoded.lengths[longest])) > self.model.max_length:
            raise too_large(
                f"text {longest + first_number} has {tokens} tokens; {self.name} takes {self.model.max_length}. "
                'Shorten it, or send "truncate": true'
            )
        return encoded

    async def outputs(self, examples: Sequence[Example], truncate: bool) -> np.ndarray:
        """Return probabilities or scores, (examples, outputs), computed together with other requests.

        Raises:
            RequestError: The request is wrong, too large or too late, or the model cannot compute.
        """
        self.check(examples)
        with lost_processes_reported(self.name):
            encoded = await asyncio.to_thread(self.encode, examples, truncate)
            outputs = await self.queue.outputs(encoded)
        check_finite(self.name, outputs)
        return outputs

    def ranked(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return label and score of each output, the largest first, (outputs,) → as text-embeddings-inference does."""
        order = np.argsort(-outputs, kind="stable")
        return [{"score": float(outputs[index]), "label": self.labels[index]} for index in order]

    def description(self) -> dict[str, Any]:
        """Return what `GET /models` says of the model."""
        model, metadata = self.model, self.model.metadata
        return {
            "name": self.name,
            "runtime": model.runtime,
            "task": metadata.get("task"),
            "quantization": metadata.get("quantization"),
            "labels": list(model.labels),
            "is_regression": model.is_regression,
            "takes_pairs": model.takes_pairs,
            "max_length": model.max_length,
            "size_bytes": model.size_bytes,
        }


def _run_in_turn(turns: ComputingTurns, run: Callable[[EncodedTexts], np.ndarray], encoded: EncodedTexts) -> np.ndarray:
    with turns.turn():
        return run(encoded)


def check_finite(name: str, outputs: np.ndarray) -> None:
    """Raise a RequestError if an output is not a number."""
    if not np.isfinite(outputs).all():
        raise RequestError(500, "inference", f"{name}: an output is not a number; its weights are damaged")


@contextmanager
def lost_processes_reported(name: str) -> Iterator[None]:
    """Turn the end of a model's process into an answer."""
    try:
        yield
    except ProcessLost as error:
        raise unavailable(f"{name}: {error}. It is started again for the next request") from error


class HostedModels:
    """The models of a server, by name, and the threads in which they compute.

    Models in this process share one thread. Each process of a model has another, so that one that hangs or is started
    again does not stop the other models.

    Args:
        models: Name → model; the first one answers requests that name none.
        settings: Limits and batching.
        metrics: Metrics of the server.
    """

    def __init__(self, models: Mapping[str, ServableModel], settings: ServerSettings, metrics: ServerMetrics) -> None:
        self.comparing = asyncio.Lock()
        turns, shared = ComputingTurns(), _thread()
        self._models = {
            name: HostedModel(
                name, model, _thread() if isinstance(model, ModelProcess) else shared, turns, settings, metrics
            )
            for name, model in models.items()
        }
        self._keepers: list[asyncio.Task[None]] = []

    def __iter__(self) -> Iterator[HostedModel]:
        return iter(self._models.values())

    def get(self, name: str | None) -> HostedModel:
        """Return the model of a name; the first one for None.

        Raises:
            RequestError: There is no such model.
        """
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise not_found(f"no model {name[:100]!r}; there are {', '.join(self._models)}")
        return self._models[name]

    def start(self) -> None:
        """Start the queues, in the running event loop."""
        for hosted in self:
            hosted.queue.start()
            if isinstance(hosted.model, ModelProcess):
                self._keepers.append(asyncio.create_task(_keep_running(hosted, hosted.model)))

    async def stop(self) -> None:
        """Stop the queues and free the models; processes are ended, and batches in this process are waited for."""
        for keeper in self._keepers:
            keeper.cancel()
        for hosted in self:
            await hosted.queue.stop()
        for hosted in self:
            if isinstance(hosted.model, ModelProcess):  # first, because its thread may wait for an answer
                await asyncio.to_thread(hosted.model.close)
        for hosted in self:
            await asyncio.to_thread(hosted.executor.shutdown, cancel_futures=True)
        for hosted in self:
            hosted.model.close()


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="models")


async def _keep_running(hosted: HostedModel, process: ModelProcess) -> None:
    """Start the process of a model again whenever it has ended."""
    while True:
        await asyncio.sleep(_CHECK_INTERVAL_S)
        if process.is_ready:
            continue
        fields = {"model": hosted.name}
        _log.warning("the process of a model has ended; it is started again", extra={"fields": fields})
        try:
            await asyncio.get_running_loop().run_in_executor(hosted.executor, process.restart)
        except (UserError, OSError) as error:
            _log.error("the process of a model cannot be started", extra={"fields": fields | {"error": str(error)}})
            await asyncio.sleep(_PAUSE_AFTER_FAILED_START_S)


def load_models(arguments: Sequence[str], load: Callable[[str], ServableModel]) -> dict[str, ServableModel]:
    """Load the models of a command line.

    Args:
        arguments: ``PATH``, whose name is that of the file without its suffix, or ``NAME=PATH``; a folder with exported
            files stands for all of them.
        load: Function from a path to a model.

    Returns:
        Name → model, in the order of the arguments.

    Raises:
        UserError: A name is given twice or is unfit for a URL, or a model cannot be loaded.
    """
    paths: dict[str, str] = {}
    for argument in chain.from_iterable(map(_files_of, arguments)):
        name, named, path = argument.partition("=")
        if not named or "/" in name:
            path = argument
            name = re.sub(r"\.(tflite|onnx|xml)$", "", path.rstrip("/").rpartition("/")[2])
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{argument}: {name!r} cannot be the name of a model; give one of letters, digits, '.', '_' and '-': "
                f"NAME={path}"
            )
        if name in paths:
            raise UserError(f"{path}: {name} is also the name of {paths[name]}; give it another one: NAME={path}")
        paths[name] = path
    return {name: load(path) for name, path in paths.items()}


def _files_of(argument: str) -> list[str]:
    """Return the exported files of a folder, without those that `Classifier` opens with another; else the argument."""
    folder = Path(argument)
    files = {path for path in folder.glob("*") if is_exported(path)} if folder.is_dir() else set()
    others = {path for path in files if path.with_stem(re.sub(r"-\d+$", "", path.stem)) in files - {path}}
    return [str(path) for path in sorted(files - others)] or [argument]
