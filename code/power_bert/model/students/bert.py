"""Initialization of students from other encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.pretrained import canonical_variables


def spread_blocks(num_blocks: int, num_source_blocks: int) -> tuple[int, ...]:
    """Choose `num_blocks` blocks of a source encoder, counted from 1: evenly spaced, the last one included.

    Raises:
        UserError: The source has fewer blocks.
    """
    if num_blocks > num_source_blocks:
        raise UserError(
            f"{num_blocks} blocks of a student cannot be spread over the {num_source_blocks} of an encoder; ask for "
            "fewer, or say which with --start-blocks (to start from them) or --layer-map (to compare with them)"
        )
    return tuple(round((block + 1) * num_source_blocks / num_blocks) for block in range(num_blocks))


def from_blocks(source: PowerBertBackbone, blocks: Sequence[int], **changes: Any) -> PowerBertBackbone:
    """Build a student from selected blocks of an encoder, its embeddings and its pooler (Sanh et al. 2019, DistilBERT).

    Args:
        source: Encoder that supplies the weights.
        blocks: Block numbers in the source, counted from 1, in the order of the student's blocks.
        changes: Constructor arguments that override the source's, such as the dropout.

    Raises:
        UserError: The source has no such block.
    """
    wrong = [block for block in blocks if not 1 <= block <= source.num_layers]
    if wrong or not blocks:
        raise UserError(f"blocks {', '.join(map(str, blocks))}: expected numbers from 1 to {source.num_layers}")
    config = {**source.get_config(), "extraction": None, "retention": None, **changes, "num_layers": len(blocks)}
    config.pop("name")
    student = PowerBertBackbone.from_config(config)
    stored = canonical_variables(source)
    for name, variable in canonical_variables(student).items():
        variable.assign(stored[_source_name(name, blocks)])
    for number, block in enumerate(blocks):
        scale = student.blocks[number].attention.scale
        if scale is not None and student.similarity == source.similarity:
            scale.assign(source.blocks[block - 1].attention.scale)
    return student


def _source_name(name: str, blocks: Sequence[int]) -> str:
    head, _, rest = name.partition("/")
    if not head.startswith("block_"):
        return name
    return f"block_{blocks[int(head.removeprefix('block_'))] - 1}/{rest}"


def principal_embeddings(source: PowerBertBackbone, dim: int) -> np.ndarray:
    """Reduce the token embeddings of an encoder by principal component analysis.

    The result is scaled to a standard deviation of 0.05; that of Keras' uniform embedding initialization is 0.03.

    Args:
        source: Encoder with the embeddings.
        dim: Number of principal components.

    Returns:
        Embeddings, float32 (vocabulary, dim).

    Raises:
        UserError: The encoder's embeddings have fewer dimensions.
    """
    table = ops.convert_to_numpy(source.embeddings.token).astype(np.float64)  # (vocabulary, hidden)
    if dim > table.shape[1]:
        raise UserError(
            f"embeddings of {dim} dimensions cannot come from an encoder that has {table.shape[1]}; give "
            f"--set embedding_dim={table.shape[1]} or less"
        )
    centered = table - table.mean(axis=0)
    # `eigh` sorts the directions by ascending variance.
    _, directions = np.linalg.eigh(centered.T @ centered)  # (hidden, hidden)
    projected = centered @ directions[:, ::-1][:, :dim]  # (vocabulary, dim)
    return (projected * (0.05 / projected.std())).astype(np.float32)
