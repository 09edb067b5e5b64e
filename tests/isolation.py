"""What the tests see of the machine, set before anything imports keras or tensorflow.

No test reads or writes the checkout's `checkpoints/` and `glue_data/`, or the user's home, caches and settings: one
temporary folder stands for all of them. The processes of pytest-xdist share that of the process that starts them.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

_VARIABLE = "POWER_BERT_TESTS"
# Settings of the user's libraries, and of run.sh where pytest is called without it.
_NOT_FOR_TESTS = (
    *("KERAS_HOME", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "HF_HOME", "XDG_CACHE_HOME", "TFDS_DATA_DIR"),
    *(
        "POWER_BERT_PROGRAM",
        "MPLCONFIGDIR",
        "TASK",
        "DATA_DIR",
        "CHECKPOINT_PATH",
        "OUTPUT_DIR",
        "SEED",
        "EFFORT",
        "EPOCH",
        "BATCH_SIZE",
        "MAX_LENGTH",
    ),
)


def _isolate() -> Path:
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="power-bert-tests-")
        atexit.register(shutil.rmtree, os.environ[_VARIABLE], ignore_errors=True)
    folder = Path(os.environ[_VARIABLE])
    home = folder / "home"
    home.mkdir(exist_ok=True)
    for name in _NOT_FOR_TESTS:
        os.environ.pop(name, None)
    os.environ.update(HOME=str(home), POWER_BERT_HOME=str(folder / "project"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    return folder


TESTS_FOLDER = _isolate()


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a path that the first process of a test session makes and the others find; tests leave it as it is."""
    path, done = TESTS_FOLDER / name, TESTS_FOLDER / f"{name}.done"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not done.exists():
            make(path)
            done.touch()
    return path
