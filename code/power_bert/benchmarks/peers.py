"""A run beside its peers: the same BERT in PyTorch (Hugging Face) and in ONNX Runtime, where these are installed.

Every model runs the same texts, in batches of the same padding, in a process of its own; the processes take turns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from power_bert.benchmarks.export_latency import BATCH_SIZE, BUCKETED, ONE_BY_ONE, PADDED
from power_bert.benchmarks.turns import Measured, answer_turns, measure_in_turns, worker
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import write_hugging_face
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.model.pretrained import encoder_checkpoint
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.process_environment import THREAD_VARIABLES
from power_bert.result_tables import to_frame
from power_bert.text.batches import Batch, evaluation_batches
from power_bert_runtime.contents import INPUT_NAMES, OUTPUT_NAME
from power_bert_runtime.encoded_texts import EncodedTexts

# Maps token_ids, segment_ids and padding_mask, int32 (batch, length), to outputs (batch, classes).
_Forward = Callable[[dict[str, np.ndarray]], np.ndarray]
_BERT, _ELIMINATED, _KERAS = "BERT", "eliminated", "Keras"
PEERS_BASELINE = f"{_BERT}, {_KERAS}"  # speed-ups are relative to it
_HEAD = "head.npz"
_PACKAGES = {"PyTorch": ("torch", "transformers"), "ONNX Runtime": ("onnx", "onnxruntime")}


@dataclass(frozen=True)
class Peer:
    """A model in a runtime.

    Attributes:
        model: "BERT" or "eliminated".
        runtime: Runtime, with its quantization.
        open: Opens the model in its process: path, threads → forward pass.
        path: What `open` takes.
    """

    model: str
    runtime: str
    open: Callable[[Path, int], _Forward]
    path: Path


def missing_packages() -> dict[str, list[str]]:
    """Map each runtime that cannot be measured to the packages that are not installed."""
    missing = {runtime: [name for name in names if find_spec(name) is None] for runtime, names in _PACKAGES.items()}
    return {runtime: names for runtime, names in missing.items() if names}


def measure_peers(
    full: Path, eliminating: Path, encoded: EncodedTexts, max_length: int, threads: int, folder: Path, runs: int = 100
) -> pd.DataFrame:
    """Time a BERT and its eliminating model in Keras and in every runtime that is installed.

    Args:
        full: Preset of the BERT.
        eliminating: Preset of the model that eliminates.
        encoded: Examples to run.
        max_length: Length of fixed padding; no example is longer.
        threads: CPU threads of a call.
        folder: Empty folder for the models in the formats of the runtimes.
        runs: Timed calls of one example; passes over all examples are at most 8.

    Returns:
        A row per model and runtime. `agreement`: fraction of examples with the label of the same model in Keras; NaN
        for regressions. Times are in ms, throughput in examples/s.
    """
    peers = [
        peer
        for model, preset in ((_BERT, full), (_ELIMINATED, eliminating))
        for peer in _peers_of(model, preset, folder)
    ]
    ones = list(evaluation_batches(encoded, 1, max_length))  # sorted by length, and the first calls are timed
    batches = {
        ONE_BY_ONE: [ones[row] for row in np.random.default_rng(0).permutation(len(ones))],
        BUCKETED: list(evaluation_batches(encoded, BATCH_SIZE, max_length)),
        PADDED: list(evaluation_batches(encoded, BATCH_SIZE, max_length, pad_to=max_length)),
    }
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                worker(f"{peer.model} in {peer.runtime}", _serve, peer.open, peer.path, threads, batches)
            )
            for peer in peers
        ]
        measured = measure_in_turns(workers, runs, 1)
    return to_frame(_rows(peers, measured))


def _peers_of(model: str, preset: Path, folder: Path) -> Iterator[Peer]:
    """Write a model in the formats of the installed runtimes, and yield it in each of them, first in Keras."""
    classifier, missing = load_own_classifier(preset), missing_packages()
    yield Peer(model, _KERAS, _open_keras, preset)
    backbone = classifier.backbone
    is_bert = isinstance(backbone, PowerBertBackbone) and backbone.extraction is None and backbone.similarity == "dot"
    if "PyTorch" not in missing and is_bert:
        yield Peer(model, "PyTorch", _open_torch, _write_for_torch(classifier, folder / f"{model}_torch"))
    if "ONNX Runtime" not in missing:
        from power_bert.export.server_formats import OnnxFormat

        for form, name in (("none", "float32"), ("dynamic", "dynamic int8")):
            path = folder / f"{model}_{form}.onnx"
            path.write_bytes(OnnxFormat().convert(classifier, form, None, False).SerializeToString())
            yield Peer(model, f"ONNX Runtime {name}", _open_onnx, path)


def _write_for_torch(classifier: PowerBertTextClassifier, folder: Path) -> Path:
    source = "the model of the run"
    write_hugging_face(folder, encoder_checkpoint(classifier.backbone, plain_tokenizer(classifier), source))
    kernel, bias = (np.asarray(weight) for weight in classifier.output_dense.get_weights())
    np.savez(folder / _HEAD, kernel=kernel, bias=bias)
    return folder


def _serve(
    open_model: Callable[[Path, int], _Forward],
    path: Path,
    threads: int,
    batches: dict[str, list[Batch]],
    connection: Connection,
) -> None:
    """Answer each request with the milliseconds of its calls, in the process of a model."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    forward = open_model(path, threads)
    outputs = np.concatenate([forward(batch.inputs) for batch in batches[BUCKETED]])
    calls: dict[str, tuple[int, Sequence[Callable[[], Any]]]] = {
        name: (len(outputs), [partial(_run_all, forward, each)]) for name, each in batches.items()
    }
    calls[ONE_BY_ONE] = (1, [partial(forward, batch.inputs) for batch in batches[ONE_BY_ONE]])
    answer_turns(connection, outputs, calls)


def _run_all(forward: _Forward, batches: list[Batch]) -> None:
    for batch in batches:
        forward(batch.inputs)


def _open_keras(preset: Path, threads: int) -> _Forward:
    from power_bert.quiet import import_backend

    import_backend()
    from power_bert.predict.forward import compiled_forward

    compiled = compiled_forward(load_own_classifier(preset))
    return lambda inputs: np.asarray(compiled(inputs))


def _open_onnx(path: Path, threads: int) -> _Forward:
    from power_bert_runtime.onnx_engine import make_session

    session = make_session(str(path), threads)
    names = dict(zip(INPUT_NAMES, ("token_ids", "padding_mask", "segment_ids"), strict=True))

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        (outputs,) = session.run([OUTPUT_NAME], {name: inputs[ours] for name, ours in names.items()})
        return np.asarray(outputs)

    return forward


def _open_torch(folder: Path, threads: int) -> _Forward:
    import torch
    from transformers import BertModel

    torch.set_num_threads(threads)
    encoder = BertModel.from_pretrained(folder).eval()
    head = {name: torch.from_numpy(value) for name, value in np.load(folder / _HEAD).items()}

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            ids, mask, segments = (
                torch.from_numpy(inputs[name]) for name in ("token_ids", "padding_mask", "segment_ids")
            )
            pooled = encoder(input_ids=ids, attention_mask=mask, token_type_ids=segments).pooler_output
            return np.asarray(pooled @ head["kernel"] + head["bias"])

    return forward


def _rows(peers: Sequence[Peer], measured: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    first = measured[0]
    in_keras: dict[str, np.ndarray] = {}
    for peer, one in zip(peers, measured, strict=True):
        outputs = in_keras.setdefault(peer.model, one.facts)
        times = one.milliseconds
        p50, p95 = np.percentile(times[ONE_BY_ONE], [50, 95])
        row = {"model": peer.model, "runtime": peer.runtime, "agreement": _agreement(outputs, one.facts)}
        row |= {"single_p50_ms": p50, "single_p95_ms": p95}
        row["single_speedup"] = float(np.median(first.milliseconds[ONE_BY_ONE])) / p50
        for name in (BUCKETED, PADDED):
            milliseconds = float(np.median(times[name]))
            row[f"{name}_per_second"] = 1e3 * one.examples[name] / milliseconds
            row[f"{name}_speedup"] = float(np.median(first.milliseconds[name])) / milliseconds
        yield row


def _agreement(outputs: np.ndarray, others: np.ndarray) -> float:
    if outputs.shape[1] == 1:
        return float("nan")
    return float(np.mean(outputs.argmax(1) == others.argmax(1)))


def peers_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells for people of what `measure_peers` returns."""
    ratio = "{:.2f} ×".format
    return to_frame(
        {
            "model": f"{row.model}, {row.runtime}",
            "agreement": "" if np.isnan(row.agreement) else f"{100 * row.agreement:.1f} %",
            "one text, p50 (p95) ms": f"{row.single_p50_ms:.2f} ({row.single_p95_ms:.2f})",
            "faster": ratio(row.single_speedup),
            "bucketed, texts/s": f"{row.bucketed_per_second:.0f}",
            "faster ": ratio(row.bucketed_speedup),
            "padded, texts/s": f"{row.padded_per_second:.0f}",
            "faster  ": ratio(row.padded_speedup),
        }
        for row in frame.itertuples()
    )
