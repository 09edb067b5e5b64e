"""Comparison of models on the same texts: predictions, latency, and agreement with a teacher."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from power_bert_runtime.serving.hosted_models import (
    Example,
    HostedModel,
    check_finite,
    lost_processes_reported,
)
from power_bert_runtime.serving.request_errors import invalid


@dataclass(frozen=True)
class Measured:
    """What one model answers, and how fast.

    Attributes:
        hosted: The model.
        outputs: Probabilities or scores, (texts, outputs).
        tokenizing_ms: Median time of tokenizing each text, (texts,).
        inference_ms: Median time of inference of each text in a batch of one, (texts,).
    """

    hosted: HostedModel
    outputs: np.ndarray
    tokenizing_ms: np.ndarray
    inference_ms: np.ndarray

    @property
    def total_ms(self) -> float:
        """Median over the texts of tokenizing and inference together."""
        return float(np.median(self.tokenizing_ms + self.inference_ms))


def check_comparable(contestants: Sequence[HostedModel]) -> None:
    """Raise a RequestError if the models do not answer with the same labels, or do not take the same inputs."""
    first = contestants[0]
    for other in contestants[1:]:
        if set(other.labels) != set(first.labels) or other.model.is_regression != first.model.is_regression:
            raise invalid(
                f"{first.name} has the labels {_in_words(first)}, {other.name} has {_in_words(other)}: compare models "
                'of the same labels, which "models" names'
            )
        if other.model.takes_pairs != first.model.takes_pairs:
            single, pairs = (first, other) if other.model.takes_pairs else (other, first)
            raise invalid(
                f"{single.name} classifies single texts, {pairs.name} pairs: compare models of the same input"
            )


def _in_words(hosted: HostedModel) -> str:
    if hosted.model.is_regression:
        return "of a regression (none)"
    shown = ", ".join(hosted.labels[:8])
    return f"{shown}, … ({len(hosted.labels)})" if len(hosted.labels) > 8 else shown


async def measure_models(
    contestants: Sequence[HostedModel],
    examples: Sequence[Example],
    repetitions: int,
    truncate: bool,
) -> list[Measured]:
    """Run each text through each model, one text at a time, the models in turns.

    The runs take turns with batches of other requests: nothing else computes while one is timed, but other requests are
    answered between two runs. A first repetition is not counted.

    Args:
        contestants: Models to compare.
        examples: Texts or pairs.
        repetitions: Number of timed runs of each text and model.
        truncate: Whether texts of more tokens than a model takes are truncated.

    Returns:
        Results in the order of the contestants.

    Raises:
        RequestError: A text is too long, or a model cannot compute.
    """
    loop = asyncio.get_running_loop()
    times = np.zeros((len(contestants), len(examples), 1 + repetitions, 2))
    outputs: list[list[np.ndarray]] = [[] for _ in contestants]
    for repetition in range(1 + repetitions):
        for row, example in enumerate(examples):
            for column, hosted in enumerate(contestants):
                with lost_processes_reported(hosted.name):
                    output, *taken = await loop.run_in_executor(hosted.executor, _time, hosted, example, truncate, row)
                times[column, row, repetition] = taken
                if repetition == 0:
                    check_finite(hosted.name, output)
                    outputs[column].append(output)
    medians = np.median(times[:, :, 1:], axis=2)  # (models, texts, 2)
    return [
        Measured(hosted, _in_order(np.stack(outputs[column]), hosted, contestants[0]), *medians[column].T)
        for column, hosted in enumerate(contestants)
    ]


def _time(hosted: HostedModel, example: Example, truncate: bool, row: int) -> tuple[np.ndarray, float, float]:
    with hosted.turns.turn():
        start = time.perf_counter()
        encoded = hosted.encode([example], truncate, first_number=row + 1)
        tokenized = time.perf_counter()
        outputs = hosted.model.run(encoded)
        return outputs[0], 1e3 * (tokenized - start), 1e3 * (time.perf_counter() - tokenized)


def _in_order(outputs: np.ndarray, hosted: HostedModel, first: HostedModel) -> np.ndarray:
    """Return the outputs in the order of the first model's labels."""
    return outputs[:, [hosted.labels.index(label) for label in first.labels]]


def compare_outputs(outputs: np.ndarray, teacher: np.ndarray, is_regression: bool) -> dict[str, np.ndarray]:
    """Compare the outputs of a model with those of its teacher, (texts, outputs), text by text.

    Returns:
        For classifiers `agrees` (whether the labels are equal), `cosine` (of the vectors of probabilities) and
        `total_variation` (half the sum of the absolute differences, 0 to 1); for regressions `difference` (absolute).
    """
    if is_regression:
        return {"difference": np.abs(outputs - teacher)[:, 0]}
    products = (outputs * teacher).sum(axis=1)
    norms = np.linalg.norm(outputs, axis=1) * np.linalg.norm(teacher, axis=1)
    return {
        "agrees": outputs.argmax(axis=1) == teacher.argmax(axis=1),
        "cosine": products / np.maximum(norms, np.finfo(np.float32).tiny),
        "total_variation": 0.5 * np.abs(outputs - teacher).sum(axis=1),
    }


def comparison(measured: Sequence[Measured], teacher: Measured, examples: Sequence[Example]) -> dict[str, Any]:
    """Return the answer of `POST /compare`: one entry for each model, and one for each text and model."""
    is_regression = teacher.hosted.model.is_regression
    labels = measured[0].hosted.labels
    models: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = [{"input": example, "results": []} for example in examples]
    for each in measured:
        against = compare_outputs(each.outputs, teacher.outputs, is_regression)
        means = {("agreement" if name == "agrees" else name): float(values.mean()) for name, values in against.items()}
        models.append(
            {
                "model": each.hosted.name,
                "runtime": each.hosted.model.runtime,
                "size_bytes": each.hosted.model.size_bytes,
                "tokenizing_ms": float(np.median(each.tokenizing_ms)),
                "inference_ms": float(np.median(each.inference_ms)),
                "speed_up": teacher.total_ms / each.total_ms,
                **means,
            }
        )
        for row, text in enumerate(texts):
            result: dict[str, Any] = {"model": each.hosted.name}
            if is_regression:
                result["score"] = float(each.outputs[row, 0])
            else:
                result["label"] = labels[int(each.outputs[row].argmax())]
                result["probabilities"] = dict(zip(labels, each.outputs[row].tolist(), strict=True))
            result["tokenizing_ms"] = float(each.tokenizing_ms[row])
            result["inference_ms"] = float(each.inference_ms[row])
            result |= {name: values[row].item() for name, values in against.items()}
            text["results"].append(result)
    return {"teacher": teacher.hosted.name, "models": models, "texts": texts}


def comparison_csv(answer: dict[str, Any]) -> str:
    """Return the texts of a comparison as CSV (RFC 4180), one record for each text and model."""
    rows = []
    for text in answer["texts"]:
        first, second = (text["input"], None) if isinstance(text["input"], str) else text["input"]
        for result in text["results"]:
            row = {"text": first} | ({} if second is None else {"text_pair": second}) | result
            probabilities = row.pop("probabilities", {})
            rows.append(row | {f"p({label})": value for label, value in probabilities.items()})
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
