"""How a data set uses the CPU cores: several batches at once, each operation with one thread.

For small encoders that is faster than one batch after the other whose operations share the cores, even if there is
only one text (`docs/results/elimination.md`). TensorFlow sets the threads of operations once per process, and training
is faster with all of them, so predicting and measuring set one thread at their start, and a training process measures
in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from power_bert.child_processes import run_in_child
from power_bert.predict.forward import Forward
from power_bert.process_environment import one_thread_per_operation
from power_bert.text.batches import Batch
from power_bert_runtime.cores import available_cores


def threads_of_operations() -> int:
    """Return the number of threads of the backend for one operation; if not configured, the cores of this process."""
    configured = 0
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        configured = tf.config.threading.get_intra_op_parallelism_threads()
        configured = configured or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    if keras.backend.backend() == "jax":
        configured = int(os.environ.get("PJRT_NPROC") or 0)
    return configured or available_cores()


def batches_at_once() -> int:
    """Return how many batches the cores can run at once: one on a GPU, or if each operation uses all cores."""
    if keras.backend.backend() != "tensorflow" or keras.distribution.list_devices("gpu"):
        return 1
    threads = int(os.environ.get("TF_NUM_INTEROP_THREADS") or available_cores())  # THREADS sets it
    return max(1, threads // threads_of_operations())


def forward_all(forward: Forward, batches: Sequence[Batch]) -> list[np.ndarray]:
    """Return the outputs of each batch, on the host, in the order of the batches."""
    if len(batches) == 1 or (at_once := batches_at_once()) == 1:
        return [np.asarray(forward(batch.inputs)) for batch in batches]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda batch: np.asarray(forward(batch.inputs)), batches))


def measure_in_own_process(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function that measures, with one thread per operation; on a GPU in this process, which holds its memory.

    Args:
        function: Function of a module.
        arguments: Arguments of the function, which are pickled.

    Raises:
        UserError: The function raised it, or its process ended.
    """
    if keras.distribution.list_devices("gpu"):
        function(*arguments)
    else:
        run_in_child(_with_one_thread_per_operation, function, *arguments)


def _with_one_thread_per_operation(function: Callable[..., None], *arguments: Any) -> None:
    from power_bert.quiet import import_backend

    one_thread_per_operation()
    import_backend()
    function(*arguments)
