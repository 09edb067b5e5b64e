"""Protection from settings of other projects on the machine: environment variables and a missing home folder."""

from __future__ import annotations

import atexit
import difflib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from power_bert.errors import UserError

_BACKENDS = ("tensorflow", "jax")
# Thread variables of OpenMP, TensorFlow and JAX on CPU, which THREADS sets.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "PJRT_NPROC")
# With these, Keras silently ends every training early.
_KERAS_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def adapt_environment() -> None:
    """Adjust the environment variables of this process before Keras and other libraries read them.

    Raises:
        UserError: KERAS_BACKEND names an unsupported backend, or THREADS is not a number of threads.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend not in _BACKENDS:
        raise UserError(f"KERAS_BACKEND={backend} is unknown: expected {' or '.join(_BACKENDS)}; unset it, or set one")
    if threads := os.environ.get("THREADS"):
        if not re.fullmatch("[1-9][0-9]*", threads):
            raise UserError(f"THREADS={threads}: expected a whole number from 1, or nothing for all cores")
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, threads))
    for name in _KERAS_LIMITS:
        if value := os.environ.pop(name, None):
            print(f"note: {name}={value} is ignored; it would end every training early", file=sys.stderr)
    if not _home_is_usable():
        # Libraries keep settings and caches in the home folder, and fail without one.
        home = tempfile.mkdtemp(prefix="power-bert-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        os.environ["HOME"] = home


def one_thread_per_operation() -> None:
    """Have TensorFlow use one thread per operation, so that batches can run at once; call it before its first one."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"


def unknown_settings(environment: Mapping[str, str], settings: Collection[str]) -> dict[str, str]:
    """Find variables whose name looks like a misspelled setting.

    Returns:
        Name of the variable → the setting that was probably meant.
    """
    candidates = [name for name, value in environment.items() if value and name not in settings]
    nearest = {name: difflib.get_close_matches(name, settings, n=1, cutoff=0.8) for name in candidates}
    return {name: matches[0] for name, matches in nearest.items() if matches}


def _home_is_usable() -> bool:
    try:
        home = Path.home()
    except RuntimeError:
        return False
    return home.is_dir() and os.access(home, os.W_OK)
