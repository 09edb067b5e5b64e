"""Batches that run at once."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.predict import parallel_batches
from power_bert.predict.parallel_batches import batches_at_once, forward_all, measure_in_own_process
from power_bert.predict.predict_texts import predict_outputs
from power_bert.process_environment import one_thread_per_operation
from power_bert.text.batches import evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts

LENGTHS = (7, 3, 11, 5, 4)
ENCODED = EncodedTexts.from_rows([np.full(length, length, np.int32) for length in LENGTHS], LENGTHS)


@pytest.fixture(params=["1", "3"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", request.param)
    one_thread_per_operation()
    return int(request.param)


def first_token(inputs: dict[str, np.ndarray]) -> np.ndarray:
    return inputs["token_ids"][:, :1]


def test_as_many_as_operations_leave_threads_free(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert batches_at_once() == threads
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(threads))
    assert batches_at_once() == 1


def test_one_on_a_gpu(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_batches.keras.distribution, "list_devices", lambda kind: [f"{kind}:0"])
    assert batches_at_once() == 1


def test_outputs_keep_the_order(threads: int) -> None:
    outputs = forward_all(first_token, list(evaluation_batches(ENCODED, 2, 11)))
    assert [output[:, 0].tolist() for output in outputs] == [[3, 4], [5, 7], [11]]
    np.testing.assert_array_equal(predict_outputs(first_token, ENCODED, 2, 11)[:, 0], LENGTHS)


def test_they_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three calls waits until all have begun."""
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "3")
    one_thread_per_operation()
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

    for at_once, expected in ((1, [64, 36]), (2, [32, 32, 32, 4]), (50, [16] * 6 + [4])):
        sizes.clear()
        monkeypatch.setattr(parallel_batches, "batches_at_once", lambda: 1)
        monkeypatch.setattr("power_bert.predict.predict_texts.batches_at_once", lambda at_once=at_once: at_once)
        predict_outputs(forward, encoded, 64, 11)
        assert sizes == expected


def write_threads(path: Path, complaint: str = "") -> None:
    if complaint:
        raise UserError(complaint)
    used = {"process": os.getpid(), "threads": parallel_batches.threads_of_operations()}
    path.write_text(json.dumps(used), encoding="utf-8")


def test_measured_in_a_process_with_one_thread_per_operation(tmp_path: Path) -> None:
    measure_in_own_process(write_threads, tmp_path / "used.json")
    used = json.loads((tmp_path / "used.json").read_text(encoding="utf-8"))
    assert used["threads"] == 1 and used["process"] != os.getpid()
    with pytest.raises(UserError, match=r"^no dev examples$"):
        measure_in_own_process(write_threads, tmp_path, "no dev examples")
    with pytest.raises(UserError, match=r"^a process that measures ended with status 7$"):
        measure_in_own_process(os._exit, 7)
