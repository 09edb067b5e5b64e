"""What runs in the process of a peer: a model in one runtime, on the CPU.

Each process imports its own runtime alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.benchmarks.turns import BUCKETED, ONE_BY_ONE, PADDED, answer_error, answer_turns
from power_bert.errors import UserError, shorten
from power_bert.process_environment import THREAD_VARIABLES
from power_bert.text.batches import Batch
from power_bert_runtime.contents import INPUT_NAMES, OUTPUT_NAME

HEAD_FILE = "head.npz"
# Maps token_ids, segment_ids and padding_mask, int32 (batch, length), to outputs (batch, classes).
Outputs = Callable[[dict[str, np.ndarray]], np.ndarray]


def serve_peer(
    open_model: Callable[[Path, int], Outputs],
    path: Path,
    threads: int,
    batches: dict[str, list[Batch]],
    connection: Connection,
) -> None:
    """Answer each request with the milliseconds of its calls; the first answer has the outputs for `BUCKETED`.

    Args:
        open_model: Opens the model: path, threads → forward pass.
        path: What `open_model` takes.
        threads: CPU threads.
        batches: Batches of `ONE_BY_ONE`, `BUCKETED` and `PADDED`.
        connection: End of the pipe to the parent.
    """
    os.environ.update({**dict.fromkeys(THREAD_VARIABLES, str(threads)), "CUDA_VISIBLE_DEVICES": "-1"})
    os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        forward = open_model(path, threads)
        _run_all(forward, batches[ONE_BY_ONE])  # JAX compiles each length
        outputs = np.concatenate([forward(batch.inputs) for batch in batches[BUCKETED]])
    except Exception as error:  # whatever a runtime raises, the parent says it and goes on without this peer
        answer_error(connection, UserError(shorten(f"{type(error).__name__}: {error}", 300)))
        return
    calls: dict[str, tuple[int, Sequence[Callable[[], Any]]]] = {
        name: (len(outputs), [partial(_run_all, forward, batches[name])]) for name in (BUCKETED, PADDED)
    }
    calls[ONE_BY_ONE] = (1, [partial(forward, batch.inputs) for batch in batches[ONE_BY_ONE]])
    answer_turns(connection, outputs, calls)


def _run_all(forward: Outputs, batches: list[Batch]) -> None:
    for batch in batches:
        forward(batch.inputs)


def open_keras(preset: Path, threads: int) -> Outputs:
    """Open a preset in Keras; the environment sets its threads."""
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.model.trained_classifier import load_own_classifier
    from power_bert.predict.forward import compiled_forward

    compiled = compiled_forward(load_own_classifier(preset))
    return lambda inputs: np.asarray(compiled(inputs))


def open_onnx(path: Path, threads: int) -> Outputs:
    """Open a .onnx file in ONNX Runtime."""
    from power_bert_runtime.onnx_engine import make_session

    session = make_session(str(path), threads)
    names = dict(zip(INPUT_NAMES, ("token_ids", "padding_mask", "segment_ids"), strict=True))

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        (outputs,) = session.run([OUTPUT_NAME], {name: inputs[ours] for name, ours in names.items()})
        return np.asarray(outputs)

    return forward


def open_torch(folder: Path, threads: int) -> Outputs:
    """Open a Hugging Face folder with a head beside it in PyTorch."""
    import torch
    from transformers import BertModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.set_num_threads(threads)
    encoder = BertModel.from_pretrained(folder).eval()
    head = {name: torch.from_numpy(value) for name, value in np.load(folder / HEAD_FILE).items()}

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            ids, mask, segments = (
                torch.from_numpy(inputs[name]) for name in ("token_ids", "padding_mask", "segment_ids")
            )
            pooled = encoder(input_ids=ids, attention_mask=mask, token_type_ids=segments).pooler_output
            return np.asarray(pooled @ head["kernel"] + head["bias"])

    return forward
