"""Silence of the backend: what its native libraries print on import, and warnings about what is intended."""

from __future__ import annotations

import logging
import warnings


def silence_intended() -> None:
    """Ignore the warnings of Keras, TensorFlow and tqdm about what this project does on purpose."""
    # In a notebook without ipywidgets tqdm, which keras-hub imports, shows bars as text.
    warnings.filterwarnings("ignore", message="IProgress not found")
    # With one token left, its attention is 1.
    warnings.filterwarnings("ignore", message="You are using a softmax over axis")
    logging.getLogger("tensorflow").addFilter(_is_not_intended)


def _is_not_intended(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    # A process that uses several models traces the forward pass of each; an export writes a temporary SavedModel.
    return "triggered tf.function retracing" not in message and not message.startswith("Assets written to:")


def import_backend() -> None:
    """Import Keras and its backend for the command line, with Keras' own default settings."""
    silence_intended()
    import keras_hub  # noqa: F401
    from keras import config

    # Overrides what another project may have set in ~/.keras/keras.json.
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
