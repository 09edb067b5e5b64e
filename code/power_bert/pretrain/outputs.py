"""Write the pre-trained model in three formats: preset, Hugging Face folder, TF1 checkpoint."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
from keras import ops

from power_bert.model.checkpoints import Checkpoint, write_hugging_face, write_tf1_checkpoint
from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.pretrained import encoder_checkpoint, rebuild_backbone
from power_bert.pretrain.pretraining_folder import PretrainingDir
from power_bert.storage.files import atomic_directory, atomic_write_text
from power_bert.storage.folder_manifest import write_manifest
from power_bert.text.tokenizer import WordPieceTokenizer

# Dropout rate of the written model: BERT's, for fine-tuning, whatever the dropout rate of the pre-training.
_DROPOUT = 0.1


def write_outputs(folder: PretrainingDir, masked_lm: PowerBertMaskedLM, tokenizer: WordPieceTokenizer) -> list[str]:
    """Write all three formats in float32, whatever the precision of the training.

    Returns:
        Notes for the user about the outputs.
    """
    masked_lm = for_fine_tuning(masked_lm)
    write_preset(folder.model, masked_lm, tokenizer)
    checkpoint = encoder_without_pooler(masked_lm, tokenizer)
    head = {name: ops.convert_to_numpy(variable) for name, variable in masked_lm.head.canonical_variables.items()}
    others = [folder.hugging_face, folder.tf1_prefix.parent]
    write_hugging_face(folder.hugging_face, checkpoint, head)
    notes = []
    if importlib.util.find_spec("tensorflow") is None:
        notes = [f"{others.pop().name} was not written: that needs tensorflow"]
    else:
        write_tf1_checkpoint(folder.tf1_prefix, checkpoint, head)
    notes = [*_similarity_notes(folder, masked_lm), *notes]
    for other in others:
        write_manifest(other)
    return notes


def write_preset(folder: Path, masked_lm: PowerBertMaskedLM, tokenizer: WordPieceTokenizer) -> None:
    """Write the model with its tokenizer as a keras-hub preset."""
    with atomic_directory(folder) as partial:
        masked_lm.save_to_preset(str(partial))
        PowerBertTokenizer(tokenizer.vocabulary).save_to_preset(str(partial))


def _similarity_notes(folder: PretrainingDir, masked_lm: PowerBertMaskedLM) -> list[str]:
    """Write and return notes on what the other formats cannot store; none for dot-product attention."""
    similarity = masked_lm.backbone.similarity
    if similarity == "dot":
        return []
    note = (
        f"{folder.hugging_face.name} and {folder.tf1_prefix.parent.name} hold the weights of a BERT that was "
        f"pre-trained with {similarity} attention. These formats support only dot-product attention: they lack the "
        f"learned scales of the attention, and a model loaded from them computes something else than what was trained. "
        f"Only {folder.model.name} is the whole model."
    )
    for place in filter(Path.is_dir, (folder.hugging_face, folder.tf1_prefix.parent)):
        atomic_write_text(place / "NOTE.txt", note + "\n")
    return [note]


def for_fine_tuning(masked_lm: PowerBertMaskedLM) -> PowerBertMaskedLM:
    """Copy the model in float32, with BERT's dropout and with all segment embeddings set to the first.

    A record is one segment, so only the first segment embedding is trained. The others start from it instead of from
    random vectors that no block has seen.
    """
    backbone = rebuild_backbone(masked_lm.backbone, dtype="float32", dropout=_DROPOUT, attention_dropout=_DROPOUT)
    segments = ops.convert_to_numpy(backbone.embeddings.segment)
    backbone.embeddings.segment.assign(np.broadcast_to(segments[:1], segments.shape))
    twin = PowerBertMaskedLM(backbone)
    for name, variable in twin.head.canonical_variables.items():
        variable.assign(ops.convert_to_numpy(masked_lm.head.canonical_variables[name]))
    return twin


def encoder_without_pooler(masked_lm: PowerBertMaskedLM, tokenizer: WordPieceTokenizer) -> Checkpoint:
    """Convert the encoder to canonical form, without its pooler, which masked language modeling does not train."""
    checkpoint = encoder_checkpoint(masked_lm.backbone, tokenizer, "the pre-trained model")
    weights = {name: weight for name, weight in checkpoint.weights.items() if not name.startswith("pooler/")}
    return dataclasses.replace(checkpoint, weights=weights)
