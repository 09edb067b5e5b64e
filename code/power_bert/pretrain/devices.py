"""Data-parallel training on one or several devices, each with a part of every batch and a copy of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from power_bert.errors import UserError


@contextmanager
def training_devices(count: int) -> Iterator[None]:
    """Build and train models on `count` devices inside: tf.distribute on TensorFlow, keras.distribution on JAX.

    Raises:
        UserError: There are fewer devices.
    """
    if count == 1:
        yield
    elif keras.backend.backend() == "jax":
        with _jax_devices(count):
            yield
    else:
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        _check(count, devices, "GPUs are added by the driver; CPUs by tf.config.set_logical_device_configuration")
        with tf.distribute.MirroredStrategy(devices[:count]).scope():
            yield


@contextmanager
def _jax_devices(count: int) -> Iterator[None]:
    devices = keras.distribution.list_devices()
    _check(count, devices, "CPUs are divided by XLA_FLAGS=--xla_force_host_platform_device_count=…")
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices[:count]))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _check(count: int, devices: list[str], remedy: str) -> None:
    if count > len(devices):
        raise UserError(f"devices={count}, but there are {len(devices)} ({', '.join(devices)}). {remedy}")
