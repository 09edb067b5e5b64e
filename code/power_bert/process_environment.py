"""Protection from settings of other projects on the machine: environment variables and a missing home folder."""

from __future__ import annotations

import atexit
import difflib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping, MutableMapping
from pathlib import Path

from power_bert.errors import UserError
from power_bert_runtime.cores import available_cores

_BACKENDS = ("tensorflow", "jax")
# Thread variables of OpenMP, TensorFlow and JAX on CPU, which THREADS sets.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "PJRT_NPROC")
# Batches that a process predicts at once; `split_threads` sets it.
BATCHES_AT_ONCE = "POWER_BERT_BATCHES_AT_ONCE"
# They share the memory of one batch, and a smaller share would be slow.
_MOST_BATCHES_AT_ONCE = 4
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


def split_threads(environment: MutableMapping[str, str]) -> None:
    """Have TensorFlow give an operation only a share of the threads, so that several batches can run at once.

    Args:
        environment: Environment variables of a process that has not run an operation yet. Those of `THREAD_VARIABLES`
            limit the threads of all batches together.
    """
    if BATCHES_AT_ONCE not in environment:
        threads = int(environment.get("TF_NUM_INTRAOP_THREADS") or 0) or available_cores()
        at_once = min(threads, _MOST_BATCHES_AT_ONCE)
        environment.update({BATCHES_AT_ONCE: str(at_once), "TF_NUM_INTRAOP_THREADS": str(threads // at_once)})


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
