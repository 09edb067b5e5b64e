"""Measured time of the four similarities: inference and training step of the same encoder, side by side."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from rich.table import Table

from power_bert.benchmarks.latency import Timing, measure_interleaved
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.similarity import SIMILARITIES
from power_bert.predict.forward import Forward, compiled_forward
from power_bert.text.batches import Batch
from power_bert.train.optimizers import TwoRateAdamW


def measure_similarities(
    length: int, batch_size: int, num_layers: int = 2, repeats: int = 7, dtype: str = "float32"
) -> dict[str, dict[str, Timing]]:
    """Time an encoder of MiniLM's width (hidden 384, 12 heads, feed-forward 1536) with each similarity.

    Args:
        length: Number of tokens of every example.
        batch_size: Number of examples of a batch.
        num_layers: Number of encoder blocks.
        repeats: Number of timed passes, in which the similarities take turns; the median is reported.
        dtype: Dtype policy of Keras, such as "mixed_bfloat16".

    Returns:
        "inference" and "training" → similarity → timing.
    """
    generator = np.random.default_rng(0)
    token_ids = generator.integers(0, 1000, (batch_size, length), dtype=np.int32)
    inputs = {"token_ids": token_ids, "segment_ids": 0 * token_ids, "padding_mask": 0 * token_ids + 1}
    batches = [Batch(inputs, None, np.arange(batch_size))]
    models = {name: _classifier(name, num_layers, length, dtype) for name in SIMILARITIES}
    inference = {name: (compiled_forward(model), batches) for name, model in models.items()}
    training = {name: (_training_step(model), batches) for name, model in models.items()}
    return {"inference": measure_interleaved(inference, repeats), "training": measure_interleaved(training, repeats)}


def _classifier(similarity: str, num_layers: int, length: int, dtype: str) -> PowerBertTextClassifier:
    backbone = PowerBertBackbone(1000, num_layers, 12, 384, 1536, length, similarity=similarity, dtype=dtype)
    model = PowerBertTextClassifier(backbone, num_classes=2)
    model.compile(optimizer=TwoRateAdamW(1e-5), metrics=[])
    return model


def _training_step(model: keras.Model) -> Forward:
    def step(inputs: dict[str, Any]) -> Any:
        # Not the method of the class, which would preprocess text.
        return keras.Model.train_on_batch(model, inputs, np.zeros(len(inputs["token_ids"]), dtype=np.int64))

    return step


def similarity_table(timings: dict[str, dict[str, Timing]]) -> Table:
    """Return the milliseconds per example and the ratio to dot-product attention, as a table for the console."""
    timing = timings["inference"]["dot"]
    table = Table(title=f"batch {timing.batch_size}, {timing.threads} threads, {timing.device}", title_justify="left")
    for column in ("similarity", "inference ms", "× dot", "training ms", "× dot"):
        table.add_column(column, justify="left" if column == "similarity" else "right")
    for name in SIMILARITIES:
        cells = []
        for kind in ("inference", "training"):
            seconds, dot = timings[kind][name].seconds_per_example, timings[kind]["dot"].seconds_per_example
            cells += [f"{seconds * 1e3:.2f}", f"{seconds / dot:.2f}"]
        table.add_row(name, *cells)
    return table
