"""One reader per checkpoint format; each returns a canonical `Checkpoint`."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from power_bert.errors import UserError, shorten
from power_bert.model.checkpoints import tables
from power_bert.model.checkpoints.bert_config import read_hugging_face_config, read_keras_hub_config, read_tf1_config
from power_bert.model.checkpoints.checkpoint_vocabulary import check_vocabulary_fits, padding_notes
from power_bert.model.checkpoints.keras_hub_tokenizer import read_keras_hub_tokenizer
from power_bert.model.checkpoints.location import tf1_prefix
from power_bert.model.checkpoints.mapping import StoredWeights, to_canonical_weights
from power_bert.model.checkpoints.tables import WeightTable
from power_bert.model.checkpoints.types import BertArchitecture, Checkpoint, canonical_shapes
from power_bert.storage.json_object import read_json_object
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary

_DOWNLOAD_AGAIN = "The file is damaged or was not downloaded to its end; download it again."


def read_tf1(path: Path, config_path: Path | None, vocabulary_path: Path | None) -> Checkpoint:
    """Read a checkpoint of google-research/bert (TensorFlow 1 Saver); requires TensorFlow.

    Args:
        path: Prefix or folder of the checkpoint.
        config_path: Path of `bert_config.json`; None looks beside the checkpoint.
        vocabulary_path: Path of `vocab.txt`; None looks beside the checkpoint, where it may be missing.

    Raises:
        UserError: A file is missing or damaged, or does not fit the others.
    """
    prefix = tf1_prefix(path)
    architecture = read_tf1_config(config_path or prefix.parent / "bert_config.json")
    stored = _open_tf1(prefix)
    return _assemble(stored, tables.TF1, architecture, read_tokenizer(prefix.parent, vocabulary_path))


def read_hugging_face(path: Path, config_path: Path | None, vocabulary_path: Path | None) -> Checkpoint:
    """Read the folder of a Hugging Face BERT with safetensors weights, in one file or several.

    Args:
        path: Folder of the checkpoint.
        config_path: Path of `config.json`; None looks in the folder.
        vocabulary_path: Path of `vocab.txt`; None looks in the folder, where it may be missing.

    Raises:
        UserError: A file is missing or damaged, does not fit the others, or the model is no BERT.
    """
    architecture = read_hugging_face_config(config_path or path / "config.json")
    stored = open_safetensors(path)
    return _assemble(stored, tables.HUGGING_FACE, architecture, read_tokenizer(path, vocabulary_path))


def read_keras_hub(path: Path, config_path: Path | None, vocabulary_path: Path | None) -> Checkpoint:
    """Read the preset folder of a `keras_hub.models.BertBackbone`; requires keras-hub.

    Args:
        path: Preset folder.
        config_path: Must be None, because a preset is defined by its own config.
        vocabulary_path: Path of the vocabulary; None uses the preset's own, if it has a tokenizer.

    Raises:
        UserError: A file is missing or damaged, or does not fit the others.
    """
    if config_path is not None:
        raise UserError(f"{config_path}: a keras-hub preset has its own config. Leave the config path empty.")
    architecture = read_keras_hub_config(path / "config.json")
    stored = _open_keras_hub(path, architecture)
    return _assemble(stored, tables.KERAS_HUB, architecture, read_keras_hub_tokenizer(path, vocabulary_path))


def _assemble(
    stored: StoredWeights, table: WeightTable, architecture: BertArchitecture, vocabulary: Vocabulary | None
) -> Checkpoint:
    notes: list[str] = []
    lowercase = None
    if vocabulary is not None:
        rows = architecture.vocabulary_size
        check_vocabulary_fits(vocabulary, vocabulary.source, rows, stored.source)
        lowercase = vocabulary.settings.lowercase
        notes += [*vocabulary.notes, *padding_notes(vocabulary, vocabulary.source, rows)]
    weights, unused = to_canonical_weights(stored, table, architecture)
    return Checkpoint(stored.source, architecture, weights, unused, vocabulary, lowercase, tuple(notes))


@contextlib.contextmanager
def _reading(what: str, kind: str) -> Iterator[None]:
    """Convert any exception that a library raises for a damaged file, sometimes an OSError, into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} cannot be read as {kind} ({shorten(error)}). {_DOWNLOAD_AGAIN}") from error


def _open_tf1(prefix: Path) -> StoredWeights:
    import tensorflow as tf  # only this format needs it

    with _reading(f"{prefix}:", "a TensorFlow checkpoint"):
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}

    def read(name: str) -> np.ndarray:
        with _reading(f"{prefix}: the weight {name}", "a TensorFlow variable"):
            return np.asarray(reader.get_tensor(name))

    return StoredWeights(str(prefix), shapes, read)


def open_safetensors(folder: Path) -> StoredWeights:
    """Open the weights of a Hugging Face folder, in one file or several; raises a UserError if one is damaged."""
    files: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for path in _safetensors_files(folder):
        if not path.is_file():
            raise UserError(
                f"{path}: not there, but model.safetensors.index.json names it. Download it into the folder."
            )
        with _reading(f"{path}:", "safetensors"):
            file: Any = safe_open(path, framework="numpy")
            files |= dict.fromkeys(file.keys(), file)
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    def read(name: str) -> np.ndarray:
        with _reading(f"{folder}: the weight {name}", "safetensors"):
            return np.asarray(files[name].get_tensor(name))

    return StoredWeights(str(folder), shapes, read)


def _safetensors_files(folder: Path) -> list[Path]:
    """List model.safetensors, or the files of a sharded checkpoint."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index_path = folder / "model.safetensors.index.json"
    if index_path.is_file():
        weight_map = read_json_object(index_path).get("weight_map")
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


def _open_keras_hub(folder: Path, architecture: BertArchitecture) -> StoredWeights:
    _check_size(folder, architecture)
    import keras_hub  # takes seconds; only this format needs it

    with _reading(f"{folder}:", "a keras-hub preset (config.json, model.weights.h5, assets/tokenizer/vocabulary.txt)"):
        backbone = keras_hub.models.BertBackbone.from_preset(str(folder), dtype="float32")
    variables = {variable.path: variable for variable in backbone.weights}
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    return StoredWeights(str(folder), shapes, lambda name: np.asarray(variables[name]))


def _check_size(folder: Path, architecture: BertArchitecture) -> None:
    """Reject a config whose model is larger than the weights' files, before memory is allocated for it."""
    files = list(folder.glob("*.weights.h5"))
    size = sum(path.stat().st_size for path in files)
    count = sum(math.prod(shape) for shape in canonical_shapes(architecture).values())
    if files and count > size:
        raise UserError(
            f"{folder / 'config.json'}: its sizes make {count:,} weights, but {files[0].name} has only {size:,} bytes. "
            "Expected config and weights of the same model; download both again."
        )
