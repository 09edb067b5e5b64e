"""Batches that run at once."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from power_bert import process_environment
from power_bert.errors import UserError
from power_bert.predict import parallel_batches
from power_bert.predict.parallel_batches import batches_at_once, forward_all, measure_in_own_process
from power_bert.predict.predict_texts import predict_outputs
from power_bert.process_environment import BATCHES_AT_ONCE, split_threads
from power_bert.text.batches import evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts

LENGTHS = (7, 3, 11, 5, 4)
ENCODED = EncodedTexts.from_rows([np.full(length, length, np.int32) for length in LENGTHS], LENGTHS)


@pytest.fixture(params=[1, 3])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv(BATCHES_AT_ONCE, str(request.param))
    return int(request.param)


def first_token(inputs: dict[str, np.ndarray]) -> np.ndarray:
    return inputs["token_ids"][:, :1]


@pytest.mark.parametrize(
    ("cores", "limit", "batches", "threads"),
    [(1, "", 1, 1), (2, "", 2, 1), (16, "", 4, 4), (16, "3", 3, 1), (2, "0", 2, 1)],
)
def test_batches_share_the_threads(
    cores: int, limit: str, batches: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_environment, "available_cores", lambda: cores)
    environment = {"TF_NUM_INTRAOP_THREADS": limit}
    for _ in range(2):
        split_threads(environment)
        assert environment == {BATCHES_AT_ONCE: str(batches), "TF_NUM_INTRAOP_THREADS": str(threads)}


def test_one_at_once_on_a_gpu_and_on_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BATCHES_AT_ONCE, "2")
    assert batches_at_once() == 2
    with monkeypatch.context() as patched:
        patched.setattr(keras.distribution, "list_devices", lambda kind: [f"{kind}:0"])
        assert batches_at_once() == 1
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert batches_at_once() == 1


def test_outputs_keep_the_order(at_once: int) -> None:
    outputs = forward_all(first_token, list(evaluation_batches(ENCODED, 2, 11)))
    assert [output[:, 0].tolist() for output in outputs] == [[3, 4], [5, 7], [11]]
    np.testing.assert_array_equal(predict_outputs(first_token, ENCODED, 2, 11)[:, 0], LENGTHS)


def test_they_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three calls waits until all have begun."""
    monkeypatch.setenv(BATCHES_AT_ONCE, "3")
    barrier = threading.Barrier(3, timeout=20)

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        barrier.wait()
        return first_token(inputs)

    assert len(forward_all(forward, list(evaluation_batches(ENCODED, 2, 11)))) == 3


def test_they_share_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = EncodedTexts.from_rows([np.ones(3, np.int32)] * 100, [3] * 100)
    sizes = list[int]()

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        sizes.append(len(inputs["token_ids"]))
        return first_token(inputs)

    monkeypatch.setattr("power_bert.predict.predict_texts.batches_at_once", lambda: 4)
    predict_outputs(forward, encoded, 64, 11)
    assert sizes == [16] * 6 + [4]


def write_threads(path: Path, complaint: str = "") -> None:
    if complaint:
        raise UserError(complaint)
    used = {"process": os.getpid(), "threads": parallel_batches.threads_of_operations()}
    path.write_text(json.dumps(used), encoding="utf-8")


def test_measured_in_a_process_that_splits_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    measure_in_own_process(write_threads, tmp_path / "used.json")
    used = json.loads((tmp_path / "used.json").read_text(encoding="utf-8"))
    assert used["threads"] == 1 and used["process"] != os.getpid()
    with pytest.raises(UserError, match=r"^no dev examples$"):
        measure_in_own_process(write_threads, tmp_path, "no dev examples")
    with pytest.raises(UserError, match=r"^ended with status 7"):
        measure_in_own_process(os._exit, 7)


def test_jax_measures_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    measure_in_own_process(write_threads, tmp_path / "used.json")
    assert json.loads((tmp_path / "used.json").read_text(encoding="utf-8"))["process"] == os.getpid()


def test_a_script_is_not_run_again(tmp_path: Path) -> None:
    """It needs no guard, unlike with `multiprocessing`."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom power_bert.predict.parallel_batches import measure_in_own_process\n"
        f"print('begun', flush=True)\nmeasure_in_own_process(Path.touch, Path({str(tmp_path / 'measured')!r}))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.count("begun") == 1 and (tmp_path / "measured").exists()
