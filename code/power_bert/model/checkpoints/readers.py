"""One reader a checkpoint format; each ends with a canonical `Checkpoint`."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from power_bert.errors import UserError
from power_bert.model.checkpoints import tables
from power_bert.model.checkpoints.config import (
    read_hugging_face_config,
    read_json,
    read_keras_hub_config,
    read_keras_hub_lowercase,
    read_lowercase,
    read_tf1_config,
)
from power_bert.model.checkpoints.location import tf1_prefix
from power_bert.model.checkpoints.mapping import StoredWeights, to_canonical_weights
from power_bert.model.checkpoints.tables import Table
from power_bert.model.checkpoints.types import BertArchitecture, Checkpoint
from power_bert.model.checkpoints.vocabulary import check_vocabulary_fits, read_vocabulary
from power_bert.text.tokenizer import is_lowercase

_DOWNLOAD_AGAIN = "The file is damaged or was not downloaded to its end; download it again."


def read_tf1(path: Path, config_path: Path | None, vocabulary_path: Path | None) -> Checkpoint:
    """Reads a checkpoint of google-research/bert (TensorFlow 1 Saver); needs tensorflow.

    Args:
        path: Its prefix or folder.
        config_path: `bert_config.json`; None: beside the checkpoint.
        vocabulary_path: `vocab.txt`; None: beside the checkpoint, if there.

    Raises:
        UserError: A file is missing or damaged, or does not fit the others.
    """
    prefix = tf1_prefix(path)
    architecture = read_tf1_config(config_path or prefix.parent / "bert_config.json")
    stored = _open_tf1(prefix)
    vocabulary_path = vocabulary_path or _existing(prefix.parent / "vocab.txt")
    return _assemble(stored, tables.TF1, architecture, vocabulary_path, lowercase=None)


def read_hugging_face(path: Path, config_path: Path | None, vocabulary_path: Path | None) -> Checkpoint:
    """Reads the folder of a Hugging Face BERT with safetensors weights, in one file or several.

    Args:
        path: The folder.
        config_path: `config.json`; None: in the folder.
        vocabulary_path: `vocab.txt`; None: in the folder, if there.

    Raises:
        UserError: A file is missing or damaged, does not fit the others, or the model is no BERT.
    """
    architecture = read_hugging_face_config(config_path or path / "config.json")
    stored = open_safetensors(path)
    lowercase = read_lowercase(path / "tokenizer_config.json")
    vocabulary_path = vocabulary_path or _existing(path / "vocab.txt")
    return _assemble(stored, tables.HUGGING_FACE, architecture, vocabulary_path, lowercase)


def read_keras_hub(path: Path, config_path: Path | None, vocabulary_path: Path | None) -> Checkpoint:
    """Reads the preset folder of a `keras_hub.models.BertBackbone`; needs keras-hub.

    Args:
        path: The folder.
        config_path: Must be None: a preset is defined by its own config.
        vocabulary_path: The vocabulary; None: the preset's own, if it has a tokenizer.

    Raises:
        UserError: A file is missing or damaged, or does not fit the others.
    """
    if config_path is not None:
        raise UserError(f"{config_path}: a keras-hub preset has its own config. Leave the config path empty.")
    architecture = read_keras_hub_config(path / "config.json")
    stored = _open_keras_hub(path)
    lowercase = read_keras_hub_lowercase(path / "tokenizer.json")
    vocabulary_path = vocabulary_path or _existing(path / "assets" / "tokenizer" / "vocabulary.txt")
    return _assemble(stored, tables.KERAS_HUB, architecture, vocabulary_path, lowercase)


def _assemble(
    stored: StoredWeights,
    table: Table,
    architecture: BertArchitecture,
    vocabulary_path: Path | None,
    lowercase: bool | None,
) -> Checkpoint:
    # The vocabulary first: it is cheap to check.
    vocabulary = None if vocabulary_path is None else read_vocabulary(vocabulary_path)
    if vocabulary is not None:
        check_vocabulary_fits(vocabulary, str(vocabulary_path), architecture.vocabulary_size, stored.source)
        lowercase = is_lowercase(vocabulary) if lowercase is None else lowercase
    weights, unused = to_canonical_weights(stored, table, architecture)
    return Checkpoint(stored.source, architecture, weights, unused, vocabulary, lowercase)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _open_tf1(prefix: Path) -> StoredWeights:
    import tensorflow as tf  # only this format needs it

    # TensorFlow's reader raises its own errors, or the built-in ones that its status codes stand for.
    errors = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    except errors as error:
        raise UserError(f"{prefix}: cannot be read as a TensorFlow checkpoint ({error}). {_DOWNLOAD_AGAIN}") from error

    def read(name: str) -> np.ndarray:
        try:
            return np.asarray(reader.get_tensor(name))
        except errors as error:
            raise UserError(f"{prefix}: the weight {name} cannot be read ({error}). {_DOWNLOAD_AGAIN}") from error

    return StoredWeights(str(prefix), shapes, read)


def open_safetensors(folder: Path) -> StoredWeights:
    files = {}
    for path in _safetensors_files(folder):
        try:
            file: Any = safe_open(path, framework="numpy")
        except FileNotFoundError as error:
            raise UserError(
                f"{path}: not there, but model.safetensors.index.json names it. Download it into the folder."
            ) from error
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: cannot be read as safetensors ({error}). {_DOWNLOAD_AGAIN}") from error
        files.update(dict.fromkeys(file.keys(), file))
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in files.items()}
    return StoredWeights(str(folder), shapes, lambda name: files[name].get_tensor(name))


def _safetensors_files(folder: Path) -> list[Path]:
    """model.safetensors, or the files of a checkpoint that was split."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index_path = folder / "model.safetensors.index.json"
    if index_path.is_file():
        weight_map = read_json(index_path).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise UserError(f'{index_path}: no "weight_map" from weights to file names. Download it again.')
        return [folder / name for name in sorted(set(weight_map.values()))]
    if (folder / "pytorch_model.bin").is_file():
        raise UserError(
            f"{folder}: has its weights only as pytorch_model.bin, a pickle, which can run code when it is opened and "
            'is not read. Convert it where torch and transformers are installed: python -c "from transformers import '
            f"AutoModel; AutoModel.from_pretrained('{folder}').save_pretrained('NEW_FOLDER')\", copy vocab.txt and "
            "tokenizer_config.json into NEW_FOLDER, and give that."
        )
    raise UserError(f"{folder}: no model.safetensors. Download it (or model.safetensors.index.json and its files).")


def _open_keras_hub(folder: Path) -> StoredWeights:
    import keras_hub  # takes seconds; only this format needs it

    try:
        backbone = keras_hub.models.BertBackbone.from_preset(str(folder), dtype="float32")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: cannot be loaded as a keras-hub preset ({error}). Check that the folder is complete "
            "(config.json, model.weights.h5, assets/tokenizer/vocabulary.txt), or download it again."
        ) from error
    variables = {variable.path: variable for variable in backbone.weights}
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    return StoredWeights(str(folder), shapes, lambda name: variables[name].numpy())
