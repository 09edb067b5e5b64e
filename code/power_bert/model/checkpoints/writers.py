"""Write a canonical `Checkpoint` in the formats of Google's BERT and of Hugging Face."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from power_bert.model.checkpoints import tables
from power_bert.model.checkpoints.bert_config import HUGGING_FACE_ACTIVATIONS, TF1_ACTIVATIONS, bert_config
from power_bert.model.checkpoints.mapping import to_stored_weights
from power_bert.model.checkpoints.masked_lm_head import HUGGING_FACE_HEAD, TF1_HEAD, stored_masked_lm_head
from power_bert.model.checkpoints.types import Checkpoint
from power_bert.storage.files import atomic_directory, atomic_write_text
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import CONFIG_FILE, VOCABULARY_FILE
from power_bert.text.wordpiece_vocabulary import Vocabulary

_NO_FLAGS = {"lstrip": False, "rstrip": False, "single_word": False}


def write_tf1_checkpoint(
    prefix: Path, checkpoint: Checkpoint, masked_lm_head: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write PREFIX.index and PREFIX.data-00000-of-00001 with Google's weight names; requires TensorFlow.

    `bert_config.json` and, if the checkpoint has a vocabulary, `vocab.txt` are written beside them. The `.index` file
    is written last, because without it the checkpoint does not exist.

    Args:
        prefix: Prefix such as `folder/bert_model.ckpt`; the folder is created, older files are replaced.
        checkpoint: Checkpoint to write.
        masked_lm_head: Weights of the head in the form of `stored_masked_lm_head`; None writes only the encoder.

    Raises:
        UserError: A weight is missing, or Google's format has no name for the activation (it has no exact GELU).
    """
    import tensorflow as tf  # only this format needs it

    config = bert_config(checkpoint.architecture, TF1_ACTIVATIONS)
    weights = to_stored_weights(checkpoint, tables.TF1)
    if masked_lm_head is not None:
        weights |= stored_masked_lm_head(masked_lm_head, TF1_HEAD)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=prefix.parent, prefix=f".{prefix.name}.") as temporary:
        tf.raw_ops.SaveV2(
            prefix=os.path.join(temporary, prefix.name),
            tensor_names=list(weights),
            shape_and_slices=[""] * len(weights),
            tensors=[tf.constant(weight) for weight in weights.values()],
        )
        _write_json(prefix.parent / "bert_config.json", config)
        _write_vocabulary(prefix.parent, checkpoint)
        if Vocabulary.of(checkpoint.vocabulary or []).settings.unusual:  # which this format knows nothing of
            _write_json(prefix.parent / CONFIG_FILE, _tokenizer_config(checkpoint, bool(checkpoint.lowercase)))
        for suffix in (".data-00000-of-00001", ".index"):
            os.replace(os.path.join(temporary, prefix.name + suffix), f"{prefix}{suffix}")


def write_hugging_face(
    folder: Path, checkpoint: Checkpoint, masked_lm_head: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write a folder that Hugging Face's BertModel and BertTokenizer load: safetensors, configs, vocabulary.

    Args:
        folder: Target folder, created atomically; an older folder is replaced.
        checkpoint: Checkpoint to write.
        masked_lm_head: Weights of the head in the form of `stored_masked_lm_head`, for a `BertForMaskedLM`; None writes
            a `BertModel`.

    Raises:
        UserError: A weight is missing, or Hugging Face has no name for the activation.
    """
    config = {
        "architectures": ["BertModel" if masked_lm_head is None else "BertForMaskedLM"],
        "model_type": "bert",
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
    } | bert_config(checkpoint.architecture, HUGGING_FACE_ACTIVATIONS)
    if checkpoint.vocabulary is not None:
        config["pad_token_id"] = WordPieceTokenizer(checkpoint.vocabulary).pad_id
    weights = to_stored_weights(checkpoint, tables.HUGGING_FACE)
    if masked_lm_head is not None:
        weights = {f"bert.{name}": value for name, value in weights.items()}
        weights |= stored_masked_lm_head(masked_lm_head, HUGGING_FACE_HEAD)
    with atomic_directory(folder) as partial:
        # transformers refuses files without this mark.
        save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
        _write_json(partial / "config.json", config)
        _write_vocabulary(partial, checkpoint)
        if checkpoint.lowercase is not None:
            tokenizer = _tokenizer_config(checkpoint, checkpoint.lowercase)
            _write_json(partial / CONFIG_FILE, tokenizer | {"model_max_length": config["max_position_embeddings"]})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    atomic_write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def _write_vocabulary(folder: Path, checkpoint: Checkpoint) -> None:
    if checkpoint.vocabulary is not None:
        atomic_write_text(folder / VOCABULARY_FILE, "\n".join(checkpoint.vocabulary) + "\n")


def _tokenizer_config(checkpoint: Checkpoint, lowercase: bool) -> dict[str, Any]:
    """Make the config of Hugging Face's BertTokenizer, without settings that have its default value."""
    vocabulary = Vocabulary.of(checkpoint.vocabulary or [])
    settings = vocabulary.settings.unusual
    added = {
        str(vocabulary.ids[token["content"]]): {**token, "special": not token["normalized"], **_NO_FLAGS}
        for token in settings.pop("added_tokens", ())
    }
    config = {"do_lower_case": lowercase, "tokenizer_class": "BertTokenizer", **settings}
    return config | ({"added_tokens_decoder": added} if added else {})
