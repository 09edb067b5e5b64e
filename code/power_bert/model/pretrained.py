"""Load a pretrained checkpoint of any supported format into a classifier that is ready for fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.elimination.configuration import KeptUnits
from power_bert.elimination.search import SEARCH_WEIGHTS
from power_bert.errors import UserError, shorten
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import (
    BertArchitecture,
    Checkpoint,
    checkpoint_kind,
    locate_checkpoint,
    read_checkpoint,
)
from power_bert.model.checkpoints.checkpoint_vocabulary import check_vocabulary_fits
from power_bert.model.narrowing import sliced_weights
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.text_backbone import TextBackbone
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert_runtime.tokenizer_settings import TokenizerSettings


@dataclass(frozen=True)
class Pretrained:
    """Pretrained encoder with its tokenizer.

    Attributes:
        backbone: Encoder.
        tokenizer: Tokenizer of the encoder.
        notes: Remarks for the user about how it was loaded.
        random_weights: Canonical names of the weights that the checkpoint lacks, which are random.
    """

    backbone: PowerBertBackbone
    tokenizer: PowerBertTokenizer
    notes: tuple[str, ...]
    random_weights: tuple[str, ...] = ()


def canonical_variables(backbone: PowerBertBackbone) -> dict[str, keras.Variable]:
    """Map the canonical names of `power_bert.model.checkpoints` to the variables of an encoder."""
    embeddings = backbone.embeddings
    variables = {
        "embeddings/token": embeddings.token,
        "embeddings/position": embeddings.position,
        "embeddings/segment": embeddings.segment,
        "embeddings/norm/gamma": embeddings.norm.gamma,
        "embeddings/norm/beta": embeddings.norm.beta,
    }
    dense = {"pooler": backbone.pooler}
    for number, block in enumerate(backbone.blocks):
        attention = f"block_{number}/attention"
        for name in ("query", "key", "value"):
            dense[f"{attention}/{name}"] = getattr(block.attention, name)
        dense[f"{attention}/output"] = block.attention.output_projection
        dense[f"block_{number}/feed_forward/intermediate"] = block.intermediate
        dense[f"block_{number}/feed_forward/output"] = block.output_projection
        for name, norm in (("attention", block.attention_norm), ("feed_forward", block.output_norm)):
            variables[f"block_{number}/{name}/norm/gamma"] = norm.gamma
            variables[f"block_{number}/{name}/norm/beta"] = norm.beta
    for name, layer in dense.items():
        variables[f"{name}/kernel"], variables[f"{name}/bias"] = layer.kernel, layer.bias
    return variables


def backbone_from_checkpoint(checkpoint: Checkpoint, **changes: Any) -> PowerBertBackbone:
    """Build an encoder with the checkpoint's architecture and weights; `changes` override constructor arguments."""
    backbone = PowerBertBackbone(**{**dataclasses.asdict(checkpoint.architecture), **changes})
    for name, variable in canonical_variables(backbone).items():
        if name in checkpoint.weights:
            variable.assign(checkpoint.weights[name])
    return backbone


def encoder_checkpoint(backbone: PowerBertBackbone, tokenizer: WordPieceTokenizer, source: str) -> Checkpoint:
    """Convert an encoder to canonical form in float32, as `write_hugging_face` and `write_tf1_checkpoint` take it."""
    names = [field.name for field in dataclasses.fields(BertArchitecture)]
    architecture = BertArchitecture(**{name: getattr(backbone, name) for name in names})
    weights = {
        name: np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
        for name, variable in canonical_variables(backbone).items()
    }
    return Checkpoint(source, architecture, weights, (), tokenizer.vocabulary, tokenizer.lowercase)


def load_pretrained(
    checkpoint_path: str,
    bert_config_path: str | None = None,
    vocab_path: str | None = None,
    cased: bool | None = None,
    **changes: Any,
) -> Pretrained:
    """Load a checkpoint of any supported format, presets of this project included.

    Args:
        checkpoint_path: TF1 prefix, Hugging Face folder, keras-hub preset, ``hf://…`` or a preset of this project.
        bert_config_path: Path of the configuration if it is not beside the checkpoint.
        vocab_path: Path of the vocabulary if it is not beside the checkpoint.
        cased: Whether the vocabulary is cased; None reads it from the checkpoint.
        changes: Arguments of `PowerBertBackbone` that replace the checkpoint's.

    Raises:
        UserError: A file is missing, damaged or does not fit the others.
    """
    location = locate_checkpoint(checkpoint_path)
    if checkpoint_kind(location) == "power_bert":
        if bert_config_path or vocab_path or cased is not None:
            raise UserError(
                f"{location}: a preset of this project has its own vocabulary and configuration; leave VOCAB_PATH, "
                "BERT_CONFIG_PATH and CASED empty"
            )
        return _load_own_preset(location, changes)
    config_path, vocabulary_path = (Path(path) if path else None for path in (bert_config_path, vocab_path))
    checkpoint = read_checkpoint(checkpoint_path, config_path, vocabulary_path)
    if checkpoint.vocabulary is None:
        raise UserError(
            f"{checkpoint.source}: no vocabulary beside the checkpoint, neither vocab.txt nor tokenizer.json; put one "
            "of them there, or set VOCAB_PATH to its vocab.txt"
        )
    tokenizer = PowerBertTokenizer(checkpoint.vocabulary, checkpoint.lowercase if cased is None else not cased)
    notes = (*_notes(checkpoint, changes), *_tokenizer_notes(tokenizer.settings))
    backbone = backbone_from_checkpoint(checkpoint, **changes)
    missing = tuple(name for name in canonical_variables(backbone) if name not in checkpoint.weights)
    return Pretrained(backbone, tokenizer, notes, missing)


def _load_own_preset(location: Path, changes: dict[str, Any]) -> Pretrained:
    backbone = PowerBertBackbone.from_preset(str(location))
    tokenizer = PowerBertTokenizer.from_preset(str(location))
    check_tokenizer_fits(location, backbone, tokenizer)
    plain = rebuild_backbone(backbone, **{"extraction": None, "retention": None, **changes})
    notes = [f"{location}: a preset of this project, {backbone.num_layers} blocks"]
    notes += _similarity_notes(backbone.similarity, plain.similarity)
    return Pretrained(plain, tokenizer, tuple(notes))


def check_tokenizer_fits(preset: Path, backbone: TextBackbone, tokenizer: PowerBertTokenizer) -> None:
    """Raise a UserError if the vocabulary of a preset is not that of its encoder."""
    source = f"{preset}: the vocabulary"
    check_vocabulary_fits(tokenizer.get_vocabulary(), source, backbone.vocabulary_size, "the encoder there")


def _notes(checkpoint: Checkpoint, changes: dict[str, Any]) -> tuple[str, ...]:
    architecture = checkpoint.architecture
    notes = [
        f"{checkpoint.source}: {architecture.num_layers} blocks, hidden {architecture.hidden_dim}, "
        f"{architecture.num_heads} heads, activation {architecture.activation}"
    ]
    notes += checkpoint.notes
    if architecture.num_segments == 1:
        notes.append("the checkpoint knows one segment (type_vocab_size 1): both texts of a pair are segment 0")
    # Position ids are 0, 1, 2, …: a buffer of Hugging Face's BERT that nothing was learned in.
    if unused := [name for name in checkpoint.unused if not name.endswith("embeddings.position_ids")]:
        notes.append(f"weights of the checkpoint that an encoder has no place for: {', '.join(unused)}")
    if "pooler/kernel" not in checkpoint.weights:
        notes.append("the checkpoint has no pooler: it starts from random values")
    notes += _similarity_notes("dot", changes.get("similarity", "dot"))
    return tuple(notes)


def _tokenizer_notes(settings: TokenizerSettings) -> list[str]:
    unusual = settings.unusual
    added = [token["content"] for token in unusual.pop("added_tokens", ())]
    said = [f"{name} {str(value).lower() if isinstance(value, bool) else value}" for name, value in unusual.items()]
    said += [f"{len(added)} added tokens, {shorten(', '.join(added), 60)}"] if added else []
    return [f"the checkpoint's tokenizer: {'; '.join(said)}"] if said else []


def _similarity_notes(pretrained: str, loaded: str) -> list[str]:
    if pretrained == loaded:
        return []
    return [
        f"the checkpoint was pretrained with {pretrained} attention and is loaded into {loaded} attention: "
        "queries and keys keep their weights but now mean something else, so expect a lower score than with "
        f"SIMILARITY={pretrained} unless training is long or the checkpoint was pretrained with this similarity"
    ]


def rebuild_backbone(
    backbone: PowerBertBackbone, kept: Sequence[KeptUnits] | None = None, **changes: Any
) -> PowerBertBackbone:
    """Copy an encoder, weights included, with other constructor arguments (extraction, retention, gate …).

    Args:
        backbone: Encoder.
        kept: Heads and neurons that each block keeps; None keeps all.
        changes: Constructor arguments that differ.
    """
    if kept is not None:
        changes["num_heads"], changes["intermediate_dim"] = (
            tuple(len(getattr(units, name)) for units in kept) for name in ("heads", "neurons")
        )
        changes["head_dim"] = backbone.blocks[0].attention.head_dim
    config = {**backbone.get_config(), **changes}
    config.pop("name")
    twin = PowerBertBackbone.from_config(config)
    _copy_weights(backbone, twin, {} if kept is None else sliced_weights(backbone, kept))
    return twin


def _copy_weights(source: PowerBertBackbone, target: PowerBertBackbone, replaced: Mapping[int, np.ndarray]) -> None:
    """Copy all weights except those of soft extraction and, if the similarity differs, its scales.

    Args:
        source: Encoder to copy from.
        target: Encoder to copy into.
        replaced: `id` of a variable of `source` → the values that `target` gets instead of its own.
    """
    same_similarity = source.similarity == target.similarity
    left_out = SEARCH_WEIGHTS if same_similarity else (*SEARCH_WEIGHTS, "/similarity_scale")
    stored, wanted = (
        [weight for weight in model.weights if not weight.path.endswith(left_out)] for model in (source, target)
    )
    for weight, value in zip(wanted, stored, strict=True):
        # Copied, because training on JAX deletes the former values of the weights that it changes.
        weight.assign(ops.copy(replaced.get(id(value), value)))


def check_max_length(max_length: int, backbone: PowerBertBackbone) -> None:
    """Raise a UserError if `max_length` exceeds the number of position embeddings of the checkpoint."""
    positions = backbone.max_sequence_length
    if max_length > positions:
        raise UserError(
            f"MAX_LENGTH={max_length} is over the {positions} positions that the checkpoint knows; "
            f"set MAX_LENGTH to {positions} or less"
        )
