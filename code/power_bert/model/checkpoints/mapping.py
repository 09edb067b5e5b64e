"""Map stored weights of any format to canonical weights and back, by the format's table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from power_bert.errors import UserError
from power_bert.model.checkpoints.finite import check_finite
from power_bert.model.checkpoints.tables import Weight, WeightShape, WeightTable
from power_bert.model.checkpoints.types import BertArchitecture, Checkpoint, canonical_shapes

# Other types, such as int8, would need quantization scales, which the weights alone do not contain.
_FLOAT_TYPES = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class StoredWeights:
    """Weights in a checkpoint's files, read one by one so that optimizer slots never take memory.

    Attributes:
        source: File or folder, for messages.
        shapes: Stored name -> shape.
        read: Reader function, stored name -> array.
    """

    source: str
    shapes: Mapping[str, WeightShape]
    read: Callable[[str], np.ndarray]

    def read_float32(self, name: str) -> np.ndarray:
        """Read a weight as float32.

        Raises:
            UserError: The weight cannot be read, has no float type, or holds a value that is not finite.
        """
        array = self.read(name)
        if array.dtype.name not in _FLOAT_TYPES:
            raise UserError(
                f"{self.source}: the weight {name} has type {array.dtype.name}. Expected one of "
                f"{', '.join(_FLOAT_TYPES)}; give the checkpoint before it was quantized."
            )
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which `check_finite` rejects
            array = np.asarray(array, np.float32)
        check_finite(array, name, self.source)
        return array


def to_canonical_weights(
    stored: StoredWeights, table: WeightTable, architecture: BertArchitecture
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Read all weights of the encoder.

    Args:
        stored: Weights of the checkpoint.
        table: Names and layouts of its format.
        architecture: Architecture from its config.

    Returns:
        Canonical weights (float32, contiguous), and the sorted names of the stored weights that were not used.

    Raises:
        UserError: A weight is missing, has another shape or no float type, or is not finite, or there are more blocks
            than configured.
    """
    prefix = _find_prefix(stored, table)
    _refuse_further_block(stored, table, prefix, architecture.num_layers)
    shapes = canonical_shapes(architecture)
    weights: dict[str, np.ndarray] = {}
    used: set[str] = set()
    for row in _present_rows(stored, table, prefix, architecture):
        name = _stored_name(stored, row, prefix, shapes[row.canonical], architecture.num_heads)
        value = row.layout.to_canonical(stored.read_float32(name), shapes[row.canonical])
        weights[row.canonical] = np.ascontiguousarray(value)
        used.add(name)
    return weights, tuple(sorted(set(stored.shapes) - used))


def to_stored_weights(checkpoint: Checkpoint, table: WeightTable) -> dict[str, np.ndarray]:
    """Convert the checkpoint's weights to the names and layouts of a format, contiguous.

    Raises:
        UserError: A weight is missing in `checkpoint`.
    """
    result = {}
    has_pooler = any(name.startswith("pooler/") for name in checkpoint.weights)
    for row in table.expand(checkpoint.architecture.num_layers):
        if row.is_optional and not has_pooler:
            continue
        if row.canonical not in checkpoint.weights:
            raise UserError(f"{checkpoint.source}: the weight {row.canonical} is missing; it cannot be written.")
        stored = row.layout.to_stored(checkpoint.weights[row.canonical], checkpoint.architecture.num_heads)
        result[table.prefixes[0] + row.names[0]] = np.ascontiguousarray(stored)
    return result


def _find_prefix(stored: StoredWeights, table: WeightTable) -> str:
    anchor = table.rows[0].names[0]
    for prefix in table.prefixes:
        if prefix + anchor in stored.shapes:
            return prefix
    names = sorted(stored.shapes)
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    expected = " or ".join(prefix + anchor for prefix in table.prefixes)
    raise UserError(
        f"{stored.source}: no token embedding. Expected a weight named {expected}; found {listed or 'no weights'}. "
        "Give the checkpoint of a BERT encoder."
    )


def _refuse_further_block(stored: StoredWeights, table: WeightTable, prefix: str, num_layers: int) -> None:
    for name in table.block_names(num_layers):
        if prefix + name in stored.shapes:
            raise UserError(
                f"{stored.source}: has the weight {prefix + name}, but its config says {num_layers} layers. "
                "Expected config and weights of the same model; check that both belong together."
            )


def _present_rows(
    stored: StoredWeights, table: WeightTable, prefix: str, architecture: BertArchitecture
) -> list[Weight]:
    """List the rows to read: optional rows are left out only if none of them is stored (one of two is an error)."""
    rows = list(table.expand(architecture.num_layers))
    has_optional = any(prefix + name in stored.shapes for row in rows if row.is_optional for name in row.names)
    return [row for row in rows if has_optional or not row.is_optional]


def _stored_name(stored: StoredWeights, row: Weight, prefix: str, shape: WeightShape, num_heads: int) -> str:
    """Find the stored name of a row's weight and check its shape."""
    expected = row.layout.stored_shape(shape, num_heads)
    for name in (prefix + name for name in row.names):
        if name not in stored.shapes:
            continue
        if stored.shapes[name] != expected:
            raise UserError(
                f"{stored.source}: {name} (the weight {row.canonical}) has shape {stored.shapes[name]}, but the "
                f"config asks for {expected}. Check that config and weights belong together."
            )
        return name
    raise UserError(
        f"{stored.source}: the weight {row.canonical} is missing. Expected {prefix + row.names[0]} of shape "
        f"{expected}, found nothing of that name. The checkpoint is incomplete or of another model; download it again."
    )
