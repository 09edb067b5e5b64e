"""Select the weights of a model that are compressed, and measure the compression."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from power_bert.config.values import SINGLE

# Compressing smaller tensors (norms, biases, heads of a few classes) saves nothing and costs accuracy.
SMALLEST_WEIGHT = 1024


def compressible(model: keras.Model, block: tuple[int, int] = SINGLE) -> list[keras.Variable]:
    """List the trainable kernels and embedding tables with at least `SMALLEST_WEIGHT` values.

    Args:
        model: Model with the weights.
        block: Block of block pruning, which applies only to matrices; `SINGLE` for all tensors.
    """
    return [
        weight
        for weight in model.trainable_variables
        if len(weight.shape) >= 2
        and int(np.prod(weight.shape)) >= SMALLEST_WEIGHT
        and (block == SINGLE or len(weight.shape) == 2)
    ]


@dataclass(frozen=True)
class Compression:
    """Measured compression of a model's weights.

    Attributes:
        weights: Number of compressible tensors.
        values: Total number of values in them.
        sparsity: Fraction of the values that are 0.
        most_values: Largest number of distinct values in one tensor.
    """

    weights: int
    values: int
    sparsity: float
    most_values: int


def measure_compression(weights: Sequence[keras.Variable]) -> Compression:
    """Count zeros and distinct values.

    Raises:
        ValueError: There are no weights.
    """
    if not weights:
        raise ValueError("no weights to measure")
    arrays = [np.asarray(weight) for weight in weights]
    values = sum(array.size for array in arrays)
    return Compression(
        weights=len(arrays),
        values=values,
        sparsity=sum(int((array == 0).sum()) for array in arrays) / values,
        most_values=max(len(np.unique(array)) for array in arrays),
    )


def zipped_bytes(path: Path) -> int:
    """Return the size in bytes of a file after zip compression, which pruning and clustering reduce."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        zipped.write(path, path.name)
    return len(archive.getvalue())
