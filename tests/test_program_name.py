"""Commands in help and messages start with what the user typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from power_bert.program_name import as_typed

CODE = Path(__file__).resolve().parents[1] / "code"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TASK=mrpc bash run.sh     # all phases", "TASK=mrpc power-bert run     # all phases"),
        ("train it with `bash run.sh`, which …", "train it with `power-bert run`, which …"),
        ("Export it: bash run.sh export RUN", "Export it: power-bert export RUN"),
        ("bash run.sh --help", "power-bert --help"),
        ("EXTRAS=beam bash run.sh prepare-corpus …", "EXTRAS=beam bash run.sh prepare-corpus …"),
        ('EXTRAS="beam onnx" bash run.sh predict …', 'EXTRAS="beam onnx" bash run.sh predict …'),
    ],
)
def test_installed(text: str, expected: str) -> None:
    assert as_typed(text, "power-bert") == expected
    assert as_typed(text, "bash run.sh") == text


def call(program: str | None, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "POWER_BERT_PROGRAM"} | variables
    if program:
        environment["POWER_BERT_PROGRAM"] = program
    command = [sys.executable, "-P", str(CODE), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_from_a_checkout() -> None:
    shown = call("bash run.sh", "verify", "--help").stdout
    assert "Usage: bash run.sh verify" in shown and "power-bert" not in shown
    assert "completion" not in call("bash run.sh", "--help").stdout
    assert call("bash run.sh", "verify", "missing.zip").stderr.endswith("as `bash run.sh submit` writes it\n")


def test_as_a_program_of_its_own() -> None:
    assert call(None, "verify", "missing.zip").stderr.endswith("as `power-bert submit` writes it\n")
    assert "complete -o default -F _power_bert_completion power-bert" in call(None, "--show-completion", "bash").stdout
    completed = call(None, _POWER_BERT_COMPLETE="complete_bash", COMP_WORDS="power-bert expo", COMP_CWORD="1")
    assert completed.stdout.split() == ["export"]
