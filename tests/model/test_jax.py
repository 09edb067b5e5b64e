"""JAX computes what TensorFlow computes: each in a process of its own, because Keras has one backend a process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
BACKENDS = ("tensorflow", "jax")


@pytest.fixture(scope="module")
def results(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    for module in BACKENDS:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install '.[jax]'")
    folder = tmp_path_factory.mktemp("backends")
    by_backend = {}
    for backend in BACKENDS:
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(project_root / "code"),
        }
        output = folder / f"{backend}.npz"
        command = [sys.executable, str(Path(__file__).with_name("backend_results.py")), str(output)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        with np.load(output) as arrays:
            by_backend[backend] = dict(arrays)
        assert str(by_backend[backend].pop("backend")) == backend
    return by_backend


@pytest.mark.parametrize("part", ["forward", "step"])
def test_equals_tensorflow(part: str, results: dict[str, dict[str, np.ndarray]]) -> None:
    expected, result = results["tensorflow"], results["jax"]
    assert result.keys() == expected.keys()
    names = [name for name in expected if name.startswith(f"{part}/")]
    forms = len({name.split("/")[2] for name in names})
    # Every form of extraction; also a step with a teacher and one of a copy.
    assert forms == {"forward": 8, "step": 10}[part]
    for name in names:
        value, reference = result[name], expected[name]
        assert value.shape == reference.shape, name
        assert np.isfinite(value).all(), name
        assert np.abs(value - reference).max() < 1e-4, name


def test_the_step_has_moved_the_weights(results: dict[str, dict[str, np.ndarray]]) -> None:
    for mode in ("soft_visibility", "soft_tokens", "soft_scale"):
        retention = results["jax"][f"step/dot/{mode}/block_0/extraction/retention"]
        assert retention[0] == 1.0
        assert np.abs(retention[1:] - np.linspace(1.0, 0.2, 7)[1:]).max() > 1e-4
