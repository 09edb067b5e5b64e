"""Several devices compute what one does, on both backends, and resume; on virtual CPU devices."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from power_bert.config.pretraining import PretrainingSettings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def results(
    request: pytest.FixtureRequest,
    make_settings: Callable[..., PretrainingSettings],
    project_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, np.ndarray]:
    """Name of a run → training and test loss of each evaluation, (evaluations, 2)."""
    backend = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}: EXTRAS=jax bash run.sh test --all")
    settings = tmp_path_factory.mktemp(backend) / "settings.json"
    settings.write_text(make_settings(clip_norm=0.1, steps=6, interval=3, similarity="gaussian").to_json())
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(project_root / "code"),
    }
    command = [sys.executable, str(Path(__file__).with_name("train_on_devices.py")), str(settings)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    losses = json.loads(done.stdout.splitlines()[-1])
    return {name: np.array(values) for name, values in losses.items()}


@pytest.mark.parametrize("run", ["two", "two_in_parts"])
def test_same_losses_as_one_device(run: str, results: dict[str, np.ndarray]) -> None:
    assert results["one"].shape == (2, 2)
    assert np.abs(results[run] - results["one"]).max() < 1e-5
    assert np.ptp(results["one"][:, 0]) > 1e-3, "it has learned something"


@pytest.mark.parametrize("run", ["one", "two"])
def test_resumed_exactly(run: str, results: dict[str, np.ndarray]) -> None:
    assert np.array_equal(results[f"{run}_resumed"], results[run])


def test_bfloat16(results: dict[str, np.ndarray]) -> None:
    difference = np.abs(results["one_bfloat16"] - results["one"]).max()
    assert 0 < difference < 0.02
