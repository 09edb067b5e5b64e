"""A run beside its peers: the same BERT in PyTorch (Hugging Face) and in ONNX Runtime, where these are installed.

Every model runs the same texts, in batches of the same padding, on the CPU and in a process of its own; the processes
take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from power_bert.benchmarks.peer_processes import HEAD_FILE, Outputs, open_keras, open_onnx, open_torch, serve_peer
from power_bert.benchmarks.turns import (
    BUCKETED,
    DESCRIBE,
    ONE_BY_ONE,
    PADDED,
    Measured,
    Worker,
    measure_in_turns,
    worker,
)
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import write_hugging_face
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.model.pretrained import encoder_checkpoint
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.result_tables import to_frame
from power_bert.text.batches import evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts

_BATCH_SIZE = 32
_BERT, _ELIMINATED, _KERAS, _TORCH, _ONNX = "BERT", "eliminated", "Keras", "PyTorch", "ONNX Runtime"
PEERS_BASELINE = f"{_BERT}, {_KERAS}"  # speed-ups are relative to it
_PACKAGES = {_TORCH: ("torch", "transformers"), _ONNX: ("onnx", "onnxruntime")}


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
    open: Callable[[Path, int], Outputs]
    path: Path

    def __str__(self) -> str:
        return f"{self.model}, {self.runtime}"


def missing_packages() -> dict[str, list[str]]:
    """Map each runtime that cannot be measured to the packages that are not installed."""
    missing = {runtime: [name for name in names if find_spec(name) is None] for runtime, names in _PACKAGES.items()}
    return {runtime: names for runtime, names in missing.items() if names}


def measure_peers(
    full: Path,
    eliminating: Path,
    encoded: EncodedTexts,
    max_length: int,
    threads: int,
    folder: Path,
    runs: int = 100,
    say: Callable[[str], None] = print,
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
        say: Is told which peers are left out.

    Returns:
        A row per model and runtime. `agreement`: fraction of examples with the label of the same model in Keras; NaN
        for regressions. Times are in ms, throughput in examples/s.

    Raises:
        UserError: A model cannot be run in Keras.
    """
    missing = missing_packages()
    for runtime, packages in missing.items():
        say(f"{runtime} is not measured: {' and '.join(packages)} not installed")
    ones = list(evaluation_batches(encoded, 1, max_length))  # sorted by length, and the first calls are timed
    batches = {
        ONE_BY_ONE: [ones[row] for row in np.random.default_rng(0).permutation(len(ones))],
        BUCKETED: list(evaluation_batches(encoded, _BATCH_SIZE, max_length)),
        PADDED: list(evaluation_batches(encoded, _BATCH_SIZE, max_length, pad_to=max_length)),
    }
    peers: dict[Peer, Worker] = {}
    with ExitStack() as stack:
        for model, preset in ((_BERT, full), (_ELIMINATED, eliminating)):
            for peer in _peers_of(model, preset, folder, missing, say):
                ask = stack.enter_context(worker(peer, serve_peer, peer.open, peer.path, threads, batches))
                try:
                    ask(DESCRIBE, 0)
                except UserError as error:
                    if peer.runtime == _KERAS:
                        raise
                    say(f"{peer} is not measured: {error}")
                else:
                    peers[peer] = ask
        measured = measure_in_turns(list(peers.values()), runs, 1)
    return to_frame(_rows(list(peers), measured))


def _peers_of(
    model: str, preset: Path, folder: Path, missing: Collection[str], say: Callable[[str], None]
) -> Iterator[Peer]:
    """Write a model in the formats of the runtimes that are not `missing`, and yield it in each, first in Keras."""
    classifier = load_own_classifier(preset)
    yield Peer(model, _KERAS, open_keras, preset)
    if _TORCH not in missing and _is_bert(classifier.backbone):
        try:
            yield Peer(model, _TORCH, open_torch, _write_for_torch(classifier, folder / f"{model}_torch"))
        except UserError as error:
            say(f"{model}, {_TORCH} is not measured: {error}")
    if _ONNX in missing:
        return
    from power_bert.export.server_formats import OnnxFormat

    for form, name in (("none", "float32"), ("dynamic", "dynamic int8")):
        path = folder / f"{model}_{form}.onnx"
        try:
            path.write_bytes(OnnxFormat().convert(classifier, form, None, False).SerializeToString())
        except UserError as error:
            say(f"{model}, {_ONNX} {name} is not measured: {error}")
        else:
            yield Peer(model, f"{_ONNX} {name}", open_onnx, path)


def _is_bert(backbone: Any) -> bool:
    """Return whether Hugging Face's BERT can hold the weights: all heads, all neurons, all tokens."""
    return (
        isinstance(backbone, PowerBertBackbone)
        and backbone.extraction is None
        and backbone.similarity == "dot"
        and isinstance(backbone.num_heads, int)
        and isinstance(backbone.intermediate_dim, int)
        and backbone.head_dim in (None, backbone.hidden_dim // backbone.num_heads)
    )


def _write_for_torch(classifier: PowerBertTextClassifier, folder: Path) -> Path:
    source = "the model of the run"
    write_hugging_face(folder, encoder_checkpoint(classifier.backbone, plain_tokenizer(classifier), source))
    kernel, bias = (np.asarray(weight) for weight in classifier.output_dense.get_weights())
    np.savez(folder / HEAD_FILE, kernel=kernel, bias=bias)
    return folder


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

    def cell(figure: str, speedup: float) -> str:
        return f"{figure}  {speedup:.2f}×"

    return to_frame(
        {
            "model": f"{row.model}, {row.runtime}",
            "agreement": "" if np.isnan(row.agreement) else f"{100 * row.agreement:.1f} %",
            "one text, p50 (p95) ms": cell(f"{row.single_p50_ms:.2f} ({row.single_p95_ms:.2f})", row.single_speedup),
            "bucketed, texts/s": cell(f"{row.bucketed_per_second:.0f}", row.bucketed_speedup),
            "padded, texts/s": cell(f"{row.padded_per_second:.0f}", row.padded_speedup),
        }
        for row in frame.itertuples()
    )
