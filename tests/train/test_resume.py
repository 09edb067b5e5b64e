"""An interrupted run goes on to exactly the weights that it would have come to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from power_bert.config.experiment import Experiment
from power_bert.runs.run_dir import PHASES, PhaseDir, RunDir, read_run_json, write_run_json
from power_bert.train import gradual_search, phases, training

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SCORES = ("best_epoch", "scores", "scores_before_training")


def arrays(model: Path) -> dict[str, np.ndarray]:
    """All data sets of the weights of a preset."""
    found: dict[str, np.ndarray] = {}
    for path in sorted(model.glob("*.h5")):
        with h5py.File(path) as file:

            def keep(name: str, item: Any, prefix: str = path.name) -> None:
                if isinstance(item, h5py.Dataset):
                    found[f"{prefix}/{name}"] = item[()]

            file.visititems(keep)
    return found


def assert_same_outcome(left: RunDir, right: RunDir) -> None:
    for name in PHASES:
        one, other = arrays(left.phase(name).model), arrays(right.phase(name).model)
        assert one and one.keys() == other.keys()
        assert [key for key in one if not np.array_equal(one[key], other[key])] == [], f"weights of {name} differ"
        metrics = [read_run_json(run.phase(name).metrics) for run in (left, right)]
        assert metrics[0].keys() == metrics[1].keys() >= {"best_epoch", "scores"}
        for key in SCORES:  # a search has no scores before its training
            np.testing.assert_equal(metrics[0].get(key), metrics[1].get(key))
        losses = [[entry["train_loss"] for entry in values["history"]] for values in metrics]
        assert losses[0] == losses[1]
        for split in ("dev", "test"):
            paths = [run.phase(name).predictions(split) for run in (left, right)]
            assert [path.exists() for path in paths] in ([True, True], [False, False])
            assert not paths[0].exists() or paths[0].read_bytes() == paths[1].read_bytes()
    assert read_run_json(left.phase("2_search").retention) == read_run_json(right.phase("2_search").retention)
    rows = [[line.split(",")[:4] for line in run.metrics_csv.read_text().splitlines()] for run in (left, right)]
    assert rows[0] == rows[1], "no epoch is there twice"


@pytest.mark.slow
def test_a_search_that_was_interrupted_in_the_middle_of_an_epoch(
    cola_run: Any,
    run_tiny: Callable[..., Any],
    tmp_path: Path,
    stop_in_second_epoch: Callable[[Callable[[], Any]], None],
) -> None:
    whole, run_dir = RunDir(cola_run.folder), RunDir(tmp_path / "run")
    for name in ("config.json", "environment.json"):
        run_dir.path.mkdir(exist_ok=True)
        shutil.copy(whole.path / name, run_dir.path)
    shutil.copytree(whole.phase("1_fine_tune").path, run_dir.phase("1_fine_tune").path)
    stop_in_second_epoch(lambda: run_tiny(run_dir.path))
    phase = run_dir.phase("2_search")
    assert phase.training_state.exists() and not phase.is_done and not phase.retention.exists()
    output = run_tiny(run_dir.path).output
    assert "2 search: resumed after epoch 1 of 3" in output and "fine-tuning: already done" in output
    assert not phase.training_state.exists()
    assert_same_outcome(run_dir, whole)


@pytest.mark.slow
def test_a_search_with_a_target_that_was_interrupted_at_its_worst_moments(
    run_tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the model is kept and its state not yet, when a stage is trained and not marked, and in stage 2."""
    settings: dict[str, Any] = {"speedup": 2.2, "epochs": 1, "search_epochs": 2, "self_distill": True}
    monkeypatch.setattr(phases, "teaches", lambda context: True)
    whole, killed = (RunDir(tmp_path / name) for name in ("whole", "killed"))
    run_tiny(whole.path, **settings)
    killed.path.mkdir()
    for name in ("config.json", "environment.json", "1_fine_tune"):
        copy = shutil.copytree if (whole.path / name).is_dir() else shutil.copy
        copy(whole.path / name, killed.path / name)
    config = json.loads(killed.config.read_text())
    write_run_json(killed.config, {**config, "output_dir": str(killed.path)})
    stages = [killed.phase("2_search").path / f"stage_{number}" for number in (1, 2)]
    moments: list[tuple[Any, str, list[str]]] = [
        (training, "save_training_state", ["model", "sliced"]),
        (training, "save_training_state", ["model", "sliced"]),
        (PhaseDir, "mark_done", ["metrics.json", "model", "sliced", "training_state.npz"]),
        (gradual_search, "Allocation", ["DONE", "metrics.json", "model"]),
    ]
    for number, (owner, name, left) in enumerate(moments):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, interrupt)
            run_tiny(killed.path, **settings)
        assert not stages[1].exists() and set(left) <= {path.name for path in stages[0].iterdir()}
        if number == 0:
            shutil.rmtree(stages[0] / "sliced")  # as an earlier version left it
    shutil.copytree(stages[0] / "model", stages[0] / "sliced")  # killed between the mark and the removal
    output = run_tiny(killed.path, **settings).output
    assert "stage 1" not in output and "2 search, stage 2 of 2: measuring" in output
    assert_same_outcome(killed, whole)
    assert not list(killed.path.rglob("training_state.npz")) and not list(killed.path.rglob("sliced"))


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def start(experiment: Experiment) -> subprocess.Popen[str]:
    settings = {
        **{"TASK": experiment.task, "DATA_DIR": experiment.data_dir, "CHECKPOINT_PATH": experiment.checkpoint_path},
        **{"OUTPUT_DIR": experiment.output_dir, "EPOCH": str(experiment.epochs), "LR_BERT": str(experiment.lr_bert)},
        **{"BATCH_SIZE": str(experiment.batch_size), "MAX_LENGTH": str(experiment.max_length)},
        **{"LR_SOFT_EXTRACT": str(experiment.lr_soft_extract)},
    }
    environment = {**os.environ, **settings, "PYTHONPATH": str(PROJECT_ROOT / "code"), "PYTHONUTF8": "1"}
    arguments = [sys.executable, "-m", "power_bert", "run"]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_at(experiment: Experiment, row: str) -> None:
    """Start the run and send SIGKILL as soon as metrics.csv has a row that starts with `row`."""
    process, table = start(experiment), RunDir(Path(experiment.output_dir)).metrics_csv
    try:
        while not (table.exists() and f"\n{row}," in table.read_text(encoding="utf-8")):
            assert process.poll() is None, f"the run ended before {row}: {process.communicate()[0]}"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def finish(experiment: Experiment) -> str:
    process = start(experiment)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
def test_killed_in_every_phase(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    # Small batches: an epoch of 40 updates lasts long enough to be killed in.
    whole, killed = (make_experiment(tmp_path / name, batch_size=1) for name in ("whole", "killed"))
    for row in ("1_fine_tune,1", "2_search,1", "3_retrain,2"):
        kill_at(killed, row)
        phase = RunDir(Path(killed.output_dir)).phase(row.split(",")[0])
        assert not phase.is_done, "killed in time"
    output = finish(killed)
    assert "Dev score" in output and (tmp_path / "killed" / "summary.txt").is_file()
    assert "already done" not in finish(whole)
    assert_same_outcome(RunDir(tmp_path / "killed"), RunDir(tmp_path / "whole"))
    leftovers = [path for path in (tmp_path / "killed").rglob("*") if path.name.endswith(("partial", "replaced"))]
    assert leftovers == [] and not list((tmp_path / "killed").rglob("training_state.npz"))
