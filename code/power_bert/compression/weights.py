"""Which weights of a model are compressed, and how much that saved."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from power_bert.compression.blocks import SINGLE

# Smaller ones (norms, biases, heads of a few classes) save nothing and cost accuracy.
SMALLEST_WEIGHT = 1024


def compressible(model: keras.Model, block: tuple[int, int] = SINGLE) -> list[keras.Variable]:
    """Trainable kernels and tables of at least `SMALLEST_WEIGHT` values.

    Args:
        model: whose weights.
        block: of block pruning, which takes matrices alone.
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
    """What is left of the compressed weights of a model.

    Attributes:
        weights: tensors that can be compressed.
        values: numbers in them.
        sparsity: share of the numbers that are 0.
        most_values: different numbers in the tensor that has most of them.
    """

    weights: int
    values: int
    sparsity: float
    most_values: int


def measure_compression(weights: Sequence[keras.Variable]) -> Compression:
    """Count zeros and different values.

    Raises:
        ValueError: there are no weights.
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
    """Size of a file in a zip: what pruning and clustering make smaller, on disk and in a download."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        zipped.write(path, path.name)
    return len(archive.getvalue())
