"""What other projects have left on the machine."""

import os
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.process_environment import THREAD_VARIABLES, adapt_environment, unknown_settings


def test_limits_of_keras_are_lifted_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    adapt_environment()
    assert "KERAS_MAX_EPOCHS" not in os.environ
    assert capsys.readouterr().err == "note: KERAS_MAX_EPOCHS=1 is ignored; it would end every training early\n"


def test_unknown_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match=r"^KERAS_BACKEND=torch is unknown: expected tensorflow or jax"):
        adapt_environment()


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("THREADS", "")
    adapt_environment()
    assert {os.environ[name] for name in THREAD_VARIABLES} == {"7"}
    monkeypatch.setenv("THREADS", "3")
    adapt_environment()
    assert {os.environ[name] for name in THREAD_VARIABLES} == {"3"}
    monkeypatch.setenv("THREADS", "two")
    with pytest.raises(UserError, match=r"^THREADS=two: expected a whole number from 1, or nothing for all cores"):
        adapt_environment()


def test_a_missing_home_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    adapt_environment()
    assert Path.home().is_dir() and Path.home() != tmp_path / "nowhere"
    made = os.environ["HOME"]
    adapt_environment()
    assert os.environ["HOME"] == made


def test_settings_with_a_mistake_in_their_name() -> None:
    given = {"EPCOH": "3", "BATCHSIZE": "8", "EPOCHS": "", "TASK": "mrpc", "PATH": "/bin", "OMP_NUM_THREADS": "2"}
    assert unknown_settings(given, {"EPOCH", "BATCH_SIZE", "TASK", "THREADS"}) == {
        "EPCOH": "EPOCH",
        "BATCHSIZE": "BATCH_SIZE",
    }
