"""Read and write BERT checkpoints of all accepted formats as NumPy arrays under canonical names.

This package does not know the backbone: `power_bert.model.pretrained` loads the weights into it.
"""

from collections.abc import Callable
from pathlib import Path

from power_bert.errors import UserError
from power_bert.model.checkpoints.location import ACCEPTED_FORMS, CheckpointKind, checkpoint_kind, locate_checkpoint
from power_bert.model.checkpoints.readers import read_hugging_face, read_keras_hub, read_tf1
from power_bert.model.checkpoints.types import BertArchitecture, Checkpoint, canonical_shapes
from power_bert.model.checkpoints.writers import write_hugging_face, write_tf1_checkpoint

__all__ = [
    "ACCEPTED_FORMS",
    "BertArchitecture",
    "Checkpoint",
    "CheckpointKind",
    "canonical_shapes",
    "checkpoint_kind",
    "locate_checkpoint",
    "read_checkpoint",
    "write_hugging_face",
    "write_tf1_checkpoint",
]

_READERS: dict[CheckpointKind, Callable[[Path, Path | None, Path | None], Checkpoint]] = {
    "tf1": read_tf1,
    "hugging_face": read_hugging_face,
    "keras_hub": read_keras_hub,
}


def read_checkpoint(
    checkpoint_path: str, config_path: Path | None = None, vocabulary_path: Path | None = None
) -> Checkpoint:
    """Read a pretrained BERT encoder of any accepted format.

    Args:
        checkpoint_path: One of `ACCEPTED_FORMS`; downloaded if it is not on this machine.
        config_path: Path of the config if it is not beside the weights; None for keras-hub presets.
        vocabulary_path: Path of the vocabulary if it is not beside the weights.

    Returns:
        The encoder. Each stored weight is either in `weights` or named in `unused`.

    Raises:
        UserError: The checkpoint cannot be found, downloaded or read, is no BERT, or its files do not fit together.

    Example:
        checkpoint = read_checkpoint("uncased_L-2_H-128_A-2/bert_model.ckpt")
        checkpoint.weights["embeddings/token"].shape  # (30522, 128)
    """
    path = locate_checkpoint(checkpoint_path)
    kind = checkpoint_kind(path)
    if kind not in _READERS:
        raise UserError(
            f"{path}: a preset of PowerBertBackbone, not a plain BERT. Load it with PowerBertBackbone.from_preset."
        )
    return _READERS[kind](path, config_path, vocabulary_path)
