"""Imports the backend without what its native libraries print before their logging is configured."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_stderr_held_back() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 inside the block; show it only if the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held_back:
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_backend() -> None:
    """Import Keras with its backend: TensorFlow prints lines that no setting of it silences."""
    with native_stderr_held_back():
        import keras_hub  # noqa: F401
        from keras import config
    # Whatever another project has set in ~/.keras/keras.json.
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    # Where one word-vector is left, attention to it is 1, and that is intended.
    warnings.filterwarnings("ignore", message="You are using a softmax over axis")
