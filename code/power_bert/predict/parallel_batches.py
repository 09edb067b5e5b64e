"""How a data set uses the CPU cores: several batches at once, each operation with a share of the threads.

For small encoders that is faster than one batch after the other whose operations use all threads (measured in
`docs/results/elimination.md`). TensorFlow sets the threads of operations once per process, and training is faster with
all of them. So commands that predict or measure split the threads at their start, and a training process measures in a
process of its own.
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
from power_bert.process_environment import BATCHES_AT_ONCE, split_threads
from power_bert.quiet import import_backend
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
    """Return how many batches run at once: more than one only with TensorFlow on CPU, after `split_threads`."""
    return int(os.environ.get(BATCHES_AT_ONCE) or 1) if _on_cpu_with_tensorflow() else 1


def forward_all(forward: Forward, batches: Sequence[Batch]) -> list[np.ndarray]:
    """Return the outputs of each batch, on the host, in the order of the batches."""
    if len(batches) == 1 or (at_once := batches_at_once()) == 1:
        return [np.asarray(forward(batch.inputs)) for batch in batches]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda batch: np.asarray(forward(batch.inputs)), batches))


def measure_in_own_process(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function that measures, in a process that splits its threads.

    JAX and GPUs have no threads to split, and this process holds the memory of the GPU: there it is called right here.

    Args:
        function: Function of a module.
        arguments: Arguments of the function, which are pickled.

    Raises:
        UserError: The function raised it, or its process ended.
    """
    if _on_cpu_with_tensorflow():
        environment = dict(os.environ)
        split_threads(environment)
        run_in_child(_call_quietly, (function, arguments), environment)
    else:
        function(*arguments)


def _call_quietly(function: Callable[..., None], arguments: Sequence[Any]) -> None:
    import_backend()
    function(*arguments)


def _on_cpu_with_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")
