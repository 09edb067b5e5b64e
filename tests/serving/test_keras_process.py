"""Runs that TensorFlow computes in a process of its own."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

pytest.importorskip("fastapi", reason="needs the extra 'serve': EXTRAS=serve bash run.sh test")

from power_bert.errors import UserError
from power_bert.serving.keras_process import KerasProcess
from power_bert_runtime.serving.hosted_models import ProcessLost

TEXTS = ["the cat sat", "sat the the cat cat sat", "the"]


@pytest.fixture(scope="module")
def served(stored_run: Path) -> Iterator[KerasProcess]:
    model = KerasProcess(str(stored_run), threads=1)
    yield model
    model.close()


def expected(run: Path) -> np.ndarray:
    from power_bert.runs.trained_model import load_trained_model

    outputs: np.ndarray = softmax(load_trained_model(str(run)).classifier.predict(TEXTS, verbose=0), axis=-1)
    return outputs


@pytest.mark.slow
def test_it_answers_as_keras_does(served: KerasProcess, stored_run: Path) -> None:
    assert (served.labels, served.takes_pairs, served.is_regression) == (("0", "1"), False, False)
    assert served.metadata["task"] == "cola" and served.size_bytes > 0
    encoded = served.encode(TEXTS)
    assert encoded.lengths.tolist() == [5, 8, 3]
    assert served.run(encoded) == pytest.approx(expected(stored_run), abs=1e-5)
    longer = " ".join(TEXTS * 10)
    assert len(served.encode([longer]).ids) == served.max_length < len(served.encode([longer], truncate=False).ids)


@pytest.mark.slow
def test_a_killed_process_is_started_again(served: KerasProcess, stored_run: Path) -> None:
    encoded = served.encode(TEXTS)
    assert served._child is not None and served._child.process.pid is not None
    os.kill(served._child.process.pid, signal.SIGKILL)
    with pytest.raises(ProcessLost, match=r"its process has ended \(SIGKILL\)"):
        served.run(encoded)
    assert served.run(encoded) == pytest.approx(expected(stored_run), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("texts", [1, 2000])  # of which the question fills the pipe, so that even sending it waits
def test_a_process_that_hangs_is_killed_and_started_again(
    served: KerasProcess, stored_run: Path, monkeypatch: pytest.MonkeyPatch, texts: int
) -> None:
    assert served._child is not None and served._child.process.pid is not None
    monkeypatch.setattr(served, "answer_timeout_s", 1.0)
    os.kill(served._child.process.pid, signal.SIGSTOP)
    assert served.is_ready  # nobody has asked it yet
    with pytest.raises(ProcessLost, match=r"its process did not answer within 1 s and was killed"):
        served.run(served.encode(TEXTS * texts))
    assert not served.is_ready
    served.restart()
    assert served.is_ready
    child = served._child
    served.restart()
    assert served._child is child, "a process that runs stays"
    monkeypatch.setattr(served, "answer_timeout_s", 60.0)
    assert served.run(served.encode(TEXTS)) == pytest.approx(expected(stored_run), abs=1e-5)


@pytest.mark.slow
def test_it_can_be_closed_while_it_computes(stored_run: Path) -> None:
    model = KerasProcess(str(stored_run), threads=1)
    assert model._child is not None and model._child.process.pid is not None
    os.kill(model._child.process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(model.run, model.encode(TEXTS))
        time.sleep(0.2)
        model.close()
        with pytest.raises(ProcessLost, match="SIGKILL"):
            hanging.result(10)
    with pytest.raises(ProcessLost, match="cannot be loaded"):
        model.run(model.encode(TEXTS))
    assert not model.is_ready


@pytest.mark.slow
def test_a_target_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing"):
        KerasProcess(str(tmp_path / "nothing"))
