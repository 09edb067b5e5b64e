"""Locate a checkpoint given by a user, download it if necessary, and detect its format."""

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from power_bert.errors import UserError
from power_bert.folders import BASELINE, DISTILL, DONE, MODEL_FOLDER, PHASES
from power_bert.model.checkpoints.download import fetch_snapshot
from power_bert.storage.folder_manifest import MANIFEST_FILE, check_folder
from power_bert.storage.json_object import read_json_object
from power_bert.text.tokenizer_files import TOKENIZER_FILES
from power_bert_runtime.parsing import shown

CheckpointKind = Literal["tf1", "hugging_face", "keras_hub", "power_bert"]

ACCEPTED_FORMS = """Expected one of:
  the prefix of a checkpoint of Google's BERT, such as uncased_L-12_H-768_A-12/bert_model.ckpt, or its folder
  a Hugging Face folder of a BERT: config.json, model.safetensors, vocab.txt or tokenizer.json
  a keras-hub preset of a BertBackbone: a folder, a name such as bert_tiny_en_uncased, or kaggle://owner/model/keras/name
  hf://owner/name or hf://owner/name@revision: either of the two folders on the Hugging Face hub
  a run of this project with a finished phase (its OUTPUT_DIR), the folder of that phase, or the preset in it"""

# Files of the TF1 Saver: PREFIX.index, PREFIX.data-00000-of-00001, PREFIX.meta. A user may give any of them.
_TF1_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_TF1_USUAL_NAME = "bert_model.ckpt"
_HUGGING_FACE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_PRESET_KINDS: dict[str, CheckpointKind] = {"BertBackbone": "keras_hub", "PowerBertBackbone": "power_bert"}
# Phases of a run whose model is for use, the one to use first.
_USABLE_PHASES = (PHASES[2], DISTILL, PHASES[0], BASELINE)
_HUB_PATTERNS = (
    # Hugging Face
    *("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES),
    # keras-hub, whose tokenizer.json has another content
    *("metadata.json", "task.json", "preprocessor.json"),
    *("*.weights.h5", "model.weights.json", "assets/tokenizer/*", MANIFEST_FILE),
)


def fetch_preset(handle: str) -> Path:
    """Download a model of Kaggle Models into kagglehub's cache, unless it is already there.

    Args:
        handle: Kaggle handle, "owner/model/keras/name" or "owner/model/keras/name/version".

    Returns:
        Folder of the model in the cache.

    Raises:
        UserError: The model does not exist, there is no access, or the download was interrupted.
    """
    import kagglehub
    from kagglehub import exceptions

    try:
        return Path(kagglehub.model_download(handle))
    except (
        OSError,
        ValueError,
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    ) as error:
        raise UserError(
            f"kaggle://{handle}: cannot be downloaded from Kaggle Models ({error}). Check the name, the network and, "
            "where the model asks for it, your Kaggle credentials; or download the preset elsewhere and give its "
            "folder."
        ) from error


def locate_checkpoint(
    checkpoint_path: str | Path,
    fetch_from_hub: Callable[[str, str | None, tuple[str, ...]], Path] = fetch_snapshot,
    fetch_from_kaggle: Callable[[str], Path] = fetch_preset,
) -> Path:
    """Locate a checkpoint on this machine, or download it into the cache of the library it comes from.

    Args:
        checkpoint_path: One of `ACCEPTED_FORMS`.
        fetch_from_hub: Download function, (repository, revision, file patterns) -> folder.
        fetch_from_kaggle: Download function, "owner/model/keras/name[/version]" -> folder.

    Returns:
        Folder of the checkpoint, or TF1 prefix.

    Raises:
        UserError: There is no such checkpoint, it cannot be downloaded, or one of its files was altered.
    """
    text = str(checkpoint_path)
    if not text:
        raise UserError(f"The checkpoint path is empty.\n{ACCEPTED_FORMS}")
    if hub := re.fullmatch(r"hf://([^@]+)(?:@(.+))?", text):
        return fetch_from_hub(hub[1], hub[2], _HUB_PATTERNS)
    if text.startswith("kaggle://"):
        return fetch_from_kaggle(text.removeprefix("kaggle://"))
    path = _model_of_run(Path(_TF1_SUFFIX.sub("", text)).expanduser())
    if path.is_dir() or _index_file(path).is_file():
        check_folder(path if path.is_dir() else path.parent)
        return path
    if re.fullmatch(r"\w[\w.-]*", text):
        return fetch_from_kaggle(_preset_handle(text))
    raise UserError(
        f"{text}: neither a folder nor the prefix of a checkpoint ({_index_file(path)} is not there).\n{ACCEPTED_FORMS}"
    )


def _model_of_run(folder: Path) -> Path:
    """Return the preset of a run, or of the folder of a phase; any other path is returned unchanged."""
    phases = [folder, *(folder / name for name in _USABLE_PHASES)]
    finished = [phase / MODEL_FOLDER for phase in phases if (phase / DONE).is_file()]
    return next((model for model in finished if (model / "config.json").is_file()), folder)


def is_own_preset(folder: Path) -> bool:
    """Return whether a folder is a preset of this project, of a BERT or of another student."""
    config = folder / "config.json"
    return config.is_file() and str(read_json_object(config).get("registered_name", "")).startswith("power_bert>")


def checkpoint_kind(checkpoint_path: str | Path) -> CheckpointKind:
    """Detect the format of a checkpoint; downloads it first if it is not on this machine.

    Returns:
        "tf1", "hugging_face" or "keras_hub" for `read_checkpoint`; "power_bert" for a preset that was saved from a
        `PowerBertBackbone` and is loaded with its `from_preset`.

    Raises:
        UserError: The checkpoint cannot be located or downloaded, or has none of these formats.
    """
    path = locate_checkpoint(checkpoint_path)
    if not path.is_dir():
        return "tf1"
    config_path = path / "config.json"
    config = _read_if_there(config_path)
    if "class_name" in config:
        kind = _preset_kind(config)
        if kind is None:
            raise UserError(f"{config_path}: a preset of {shown(config['class_name'])}, no BERT.\n{ACCEPTED_FORMS}")
        return kind
    if any((path / name).is_file() for name in _HUGGING_FACE_WEIGHTS):
        return "hugging_face"
    if any(path.glob("*.index")):
        return "tf1"
    if "model_type" in config:
        return "hugging_face"
    raise UserError(f"{path}: a folder without a checkpoint that can be read.\n{ACCEPTED_FORMS}")


def stored_similarity(checkpoint_path: str | Path) -> str:
    """Return the attention similarity of a checkpoint's training: "dot" unless it is a preset of this project.

    Downloads nothing; a checkpoint that is not on this machine counts as "dot".
    """
    config = _stored_config(checkpoint_path)
    values = config.get("config")
    if _preset_kind(config) != "power_bert" or not isinstance(values, dict):
        return "dot"
    return str(values.get("similarity", "dot"))


def stored_hidden_dim(checkpoint_path: str | Path, config_path: str | Path | None = None) -> int | None:
    """Return the hidden size in the configuration of a checkpoint; None if it is not on this machine.

    Downloads nothing, and checks nothing: `read_checkpoint` does when the weights are read.

    Args:
        checkpoint_path: One of `ACCEPTED_FORMS`.
        config_path: Path of the configuration if it is not beside the weights.
    """
    config = _stored_config(checkpoint_path, config_path)
    preset = config.get("config")
    size = preset.get("hidden_dim") if isinstance(preset, dict) else config.get("hidden_size")
    return size if isinstance(size, int) else None


def _stored_config(checkpoint_path: str | Path, config_path: str | Path | None = None) -> dict[str, Any]:
    """Read the configuration at `config_path`, by default beside the weights; empty if there is none."""
    path = _model_of_run(Path(_TF1_SUFFIX.sub("", str(checkpoint_path))).expanduser())
    beside = path.parent if _index_file(path).is_file() else path
    places = [Path(config_path)] if config_path else [beside / "config.json", beside / "bert_config.json"]
    return next((config for place in places if (config := _read_if_there(place))), {})


def _read_if_there(config_path: Path) -> dict[str, Any]:
    return read_json_object(config_path) if config_path.is_file() else {}


def _preset_kind(config: Mapping[str, Any]) -> CheckpointKind | None:
    name = config.get("class_name")
    return _PRESET_KINDS.get(name) if isinstance(name, str) else None


def tf1_prefix(path: Path) -> Path:
    """Return the prefix of the checkpoint in a folder; a prefix is returned unchanged.

    Raises:
        UserError: The folder has several checkpoints and none has Google's name.
    """
    if not path.is_dir():
        return path
    names = sorted(index.name.removesuffix(".index") for index in path.glob("*.index"))
    if _TF1_USUAL_NAME in names:
        return path / _TF1_USUAL_NAME
    if len(names) == 1:
        return path / names[0]
    raise UserError(f"{path}: {len(names)} checkpoints ({', '.join(names)}). Give the path of one of them.")


def _index_file(prefix: Path) -> Path:
    return Path(f"{prefix}.index")


def _preset_handle(name: str) -> str:
    """Return the Kaggle handle of a preset that keras-hub knows by name."""
    import keras_hub  # takes seconds, and most checkpoints are folders

    presets = {
        preset: str(metadata["kaggle_handle"])
        for preset, metadata in keras_hub.models.BertBackbone.presets.items()
        if "kaggle_handle" in metadata
    }
    if name not in presets:
        close = difflib.get_close_matches(name, presets)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"{name}: no such file or folder, and no BERT preset of keras-hub.{hint}\n{ACCEPTED_FORMS}")
    return presets[name].removeprefix("kaggle://")
