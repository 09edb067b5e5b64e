"""Run with KERAS_BACKEND set: pre-trains on one virtual CPU device and on two, and prints the figures as JSON.

Not a test itself: `test_devices.py` runs it once a backend. Argument: a file of settings.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings
from power_bert.errors import UserError
from power_bert.pretrain.progress import PretrainingProgress
from power_bert.pretrain.run_pretraining import pretrain

NUM_DEVICES = 2


def make_devices() -> None:
    """JAX takes them from XLA_FLAGS, which the test sets."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * NUM_DEVICES)


def figures(folder: Path, changes: dict[str, Any]) -> list[list[float]]:
    settings = PretrainingSettings(**{**SETTINGS, **changes})
    finished = pretrain(settings, folder, Console(quiet=True))
    return [[e["train_loss"], e["test_loss"]] for e in json.loads(finished.metrics.read_text())["history"]]


def interrupt(folder: Path, changes: dict[str, Any]) -> None:
    """Ends a pre-training between two evaluations."""
    show = PretrainingProgress.on_train_batch_end

    def stop(self: PretrainingProgress, batch: int, logs: dict[str, Any] | None = None) -> None:
        show(self, batch, logs)
        if self.done == SETTINGS["interval"] + 1:
            raise UserError("interrupted")

    PretrainingProgress.on_train_batch_end = stop  # type: ignore[method-assign]
    try:
        figures(folder, changes)
    except UserError:
        return
    finally:
        PretrainingProgress.on_train_batch_end = show  # type: ignore[method-assign]
    raise AssertionError("was not interrupted")


SETTINGS = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
ROOT = Path(sys.argv[1]).parent
RUNS: dict[str, dict[str, Any]] = {
    "one": {},
    "two": {"devices": 2},
    "two_in_parts": {"devices": 2, "accumulate": 2},
    "one_bfloat16": {"precision": "bfloat16"},
}

make_devices()
results = {name: figures(ROOT / name, changes) for name, changes in RUNS.items()}
for name, changes in (("one", {}), ("two", {"devices": 2})):
    interrupt(ROOT / f"{name}_resumed", changes)
    results[f"{name}_resumed"] = figures(ROOT / f"{name}_resumed", changes)
print(json.dumps(results))
