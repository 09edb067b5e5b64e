"""Fixtures for all tests."""

import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from isolation import TESTS_FOLDER

# By default Python looks for garbage after every 700 new objects, which costs time among the millions of TensorFlow.
gc.set_threshold(50_000, 10, 10)

pytest.register_assert_rewrite("layer_harness", "model_harness")

PROJECT_ROOT = Path(__file__).resolve().parents[1]

# A module comes after those that it imports from.
pytest_plugins = (
    "fixtures.file_server",
    "fixtures.gradients",
    "fixtures.tiny_models",
    "fixtures.tiny_students",
    "fixtures.tiny_runs",
    "fixtures.tiny_distillations",
    "fixtures.tiny_exports",
    "fixtures.server_exports",
)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Commands called in this process change the environment, such as the threads of TensorFlow."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def project_root() -> Path:
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets, read in place."""
    folder = PROJECT_ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data sets in ../shared/data, beside the project")
    return folder


@pytest.fixture(scope="session")
def minilm(request: pytest.FixtureRequest) -> Path:
    """Folder of all-MiniLM-L6-v2; only a session with slow tests fetches it where it is absent."""
    if given := os.environ.get("POWER_BERT_MINILM"):
        return Path(given)
    advice = "set POWER_BERT_MINILM to its folder (`bash run.sh fetch` makes one)"
    if not any(item.get_closest_marker("slow") for item in request.session.items):
        pytest.skip(f"needs all-MiniLM-L6-v2: {advice}")
    from filelock import FileLock

    from power_bert.errors import UserError
    from power_bert.model.checkpoints.download import fetch_minilm

    try:
        with FileLock(TESTS_FOLDER / "all-MiniLM-L6-v2.lock"):
            return fetch_minilm(TESTS_FOLDER / "all-MiniLM-L6-v2")
    except UserError as error:
        pytest.skip(f"all-MiniLM-L6-v2 cannot be fetched: {advice}; {error}")


@pytest.fixture(scope="session")
def needs_torch() -> None:
    """For parity tests: skips where torch and transformers are not installed."""
    for module in ("torch", "transformers"):
        pytest.importorskip(module, reason="needs the extra 'parity': EXTRAS=parity bash run.sh test")


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[..., Path]:
    """Writes a Hugging Face folder of a BERT with random weights, and returns it."""
    from power_bert.model.checkpoints import BertArchitecture, Checkpoint, canonical_shapes, write_hugging_face

    def write(folder: Path, vocabulary: list[str], *sizes: int) -> Path:
        """`sizes`: blocks, heads, width and width of the feed-forward."""
        architecture = BertArchitecture(len(vocabulary), *sizes, max_sequence_length=40)
        generator = np.random.default_rng(0)
        weights = {
            name: generator.normal(1.0 if name.endswith("gamma") else 0.0, 0.4, shape).astype(np.float32)
            for name, shape in canonical_shapes(architecture).items()
        }
        write_hugging_face(folder, Checkpoint("tiny", architecture, weights, vocabulary=vocabulary, lowercase=True))
        return folder

    return write


@pytest.fixture
def stop_in_second_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Calls a function that trains, and presses Ctrl-C in the middle of its second epoch."""
    from power_bert.train.reporting import TrainingProgress

    show = TrainingProgress.on_train_batch_end

    def stop(self: TrainingProgress, batch: int, logs: dict[str, Any] | None = None) -> None:
        show(self, batch, logs)
        if self._epoch == 1 and batch == 2:
            raise KeyboardInterrupt

    def call(train: Callable[[], Any]) -> None:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(TrainingProgress, "on_train_batch_end", stop)
            train()

    return call


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Every test starts from the same random numbers; keras is seeded where a test's imports have brought it in."""
    random.seed(0)
    np.random.seed(0)
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)
