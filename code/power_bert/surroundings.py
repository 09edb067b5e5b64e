"""What other projects have left on the user's machine and must not reach this one: variables and missing folders."""

from __future__ import annotations

import atexit
import difflib
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from power_bert.errors import UserError

_BACKENDS = ("tensorflow", "jax")
# With these, Keras ends every training early, without a word.
_KERAS_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def adapt_environment() -> None:
    """Make the environment variables of this process fit, before Keras and other libraries read them.

    Raises:
        UserError: KERAS_BACKEND names a backend that this project does not run on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend not in _BACKENDS:
        raise UserError(f"KERAS_BACKEND={backend} is unknown: expected {' or '.join(_BACKENDS)}; unset it, or set one")
    for name in _KERAS_LIMITS:
        if value := os.environ.pop(name, None):
            print(f"note: {name}={value} is ignored; it would end every training early", file=sys.stderr)
    if not _home_is_usable():
        # Libraries keep small settings and caches there and fail without it.
        home = tempfile.mkdtemp(prefix="power-bert-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        os.environ["HOME"] = home


def unknown_settings(environment: Mapping[str, str], settings: Collection[str]) -> dict[str, str]:
    """Find variables that are set and look like a setting whose name has a mistake in it.

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
