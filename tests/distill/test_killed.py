"""SIGKILL in the middle of `distill`: the same command ends in the same weights."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from power_bert.runs.run_dir import DISTILL, RunDir

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def start(data: Path, teacher: Path, out: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "power_bert", "distill", "--task", "custom", "--data-dir", str(data)]
    arguments += ["--text-columns", "text", "--teacher", str(teacher), "--vocabulary", str(teacher), "--student", "cnn"]
    # Small batches and many copies: an epoch lasts long enough to be killed in.
    arguments += ["--augment", "mask", "--augment-copies", "40", "--mask-rate", "0.5", "--batch-size", "1"]
    arguments += ["--epochs", "4", "--max-length", "12", "--out", str(out), "--logits", str(out.parent / "logits")]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "code"), "PYTHONUTF8": "1"}
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights(run_dir: RunDir) -> list[np.ndarray]:
    from power_bert.model.classifier import PowerBertTextClassifier

    model = PowerBertTextClassifier.from_preset(str(run_dir.phase(DISTILL).model))
    return [np.array(weight) for weight in model.weights]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
def test_killed(labeled_data: Path, tiny_teacher: Path, tmp_path: Path) -> None:
    killed, whole = RunDir(tmp_path / "killed"), RunDir(tmp_path / "whole")
    process = start(labeled_data, tiny_teacher, killed.path)
    try:
        while not (killed.metrics_csv.exists() and f"{DISTILL},2," in killed.metrics_csv.read_text(encoding="utf-8")):
            assert process.poll() is None, f"the run ended too early: {process.communicate()[0]}"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not killed.phase(DISTILL).is_done
    for run_dir in (killed, whole):
        output, _ = start(labeled_data, tiny_teacher, run_dir.path).communicate(timeout=600)
        assert run_dir.phase(DISTILL).is_done, output
        assert "teacher forwards: 0 (cached)" in output
    for left, right in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(left, right)
    dev = [run_dir.phase(DISTILL).predictions("dev").read_bytes() for run_dir in (killed, whole)]
    assert dev[0] == dev[1]
    assert not [path for path in killed.path.rglob("*") if path.name.endswith(("partial", "replaced"))]
