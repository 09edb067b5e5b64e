"""Read and write the config files beside the weights: sizes and constants of the encoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.errors import UserError
from power_bert.model.checkpoints.types import BertArchitecture
from power_bert.storage.json_object import read_json_object as read_json_object  # other modules import it from here
from power_bert_runtime.parsing import shown


@dataclass(frozen=True)
class Kind:
    """Constraint on a config value: its Python types, a rule, and a description of both for messages."""

    types: tuple[type, ...]
    rule: Callable[[Any], bool]
    description: str


# Far above any real model, and small enough to list all names and shapes.
_LARGEST_SIZE, _MOST_LAYERS = 2**31 - 1, 4096

SIZE = Kind((int,), lambda value: 1 <= value <= _LARGEST_SIZE, f"a whole number from 1 to {_LARGEST_SIZE}")
LAYERS = Kind((int,), lambda value: 1 <= value <= _MOST_LAYERS, f"a whole number from 1 to {_MOST_LAYERS}")
RATE = Kind((int, float), lambda value: 0 <= value < 1, "a number from 0 to below 1")
SMALL = Kind((int, float), lambda value: 0 < value <= 1, "a number above 0, at most 1")


@dataclass(frozen=True)
class Entry:
    """One value of a config file.

    Attributes:
        field: Field of `BertArchitecture`.
        key: Key in the file.
        kind: Constraint on the value.
        default: Value if the key is absent; None if the key is required.
    """

    field: str
    key: str
    kind: Kind
    default: int | float | None = None


# Google's bert_config.json and Hugging Face's config.json use the same keys and the same defaults.
BERT_ENTRIES = (
    Entry("vocabulary_size", "vocab_size", SIZE),
    Entry("num_layers", "num_hidden_layers", LAYERS),
    Entry("num_heads", "num_attention_heads", SIZE),
    Entry("hidden_dim", "hidden_size", SIZE),
    Entry("intermediate_dim", "intermediate_size", SIZE),
    Entry("max_sequence_length", "max_position_embeddings", SIZE),
    Entry("num_segments", "type_vocab_size", SIZE, 2),
    Entry("dropout", "hidden_dropout_prob", RATE, 0.1),
    Entry("attention_dropout", "attention_probs_dropout_prob", RATE, 0.1),
    # Google's config has no such key: tf.contrib.layers.layer_norm always uses 1e-12.
    Entry("layer_norm_epsilon", "layer_norm_eps", SMALL, 1e-12),
    Entry("initializer_range", "initializer_range", SMALL, 0.02),
)

# keras_hub.models.BertBackbone has one dropout rate for hidden states and attention.
KERAS_HUB_ENTRIES = (
    Entry("vocabulary_size", "vocabulary_size", SIZE),
    Entry("num_layers", "num_layers", LAYERS),
    Entry("num_heads", "num_heads", SIZE),
    Entry("hidden_dim", "hidden_dim", SIZE),
    Entry("intermediate_dim", "intermediate_dim", SIZE),
    Entry("max_sequence_length", "max_sequence_length", SIZE, 512),
    Entry("num_segments", "num_segments", SIZE, 2),
    Entry("dropout", "dropout", RATE, 0.1),
    Entry("attention_dropout", "dropout", RATE, 0.1),
)

# Activation in the file -> ours. google-research/bert's modeling.py computes "gelu" with tanh and has no exact GELU.
TF1_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "tanh": "tanh", "linear": "linear"}

# Hugging Face's "gelu" is the exact GELU, with erf.
HUGGING_FACE_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "linear": "linear",
}

# Keys of a Hugging Face config that change the encoder's computation, with BERT's value, which is also the default.
_HUGGING_FACE_FIXED = {"model_type": "bert", "position_embedding_type": "absolute", "is_decoder": False}


def read_tf1_config(path: Path) -> BertArchitecture:
    """Read `bert_config.json` of Google's BERT; raises a UserError if a value is missing or invalid."""
    config = read_json_object(path)
    activation = _read_activation(config, path, TF1_ACTIVATIONS)
    return _read_architecture(config, path, BERT_ENTRIES, activation)


def read_hugging_face_config(path: Path) -> BertArchitecture:
    """Read `config.json` of a Hugging Face BERT; raises a UserError for another model or an invalid value."""
    config = read_json_object(path)
    for key, expected in _HUGGING_FACE_FIXED.items():
        if config.get(key, expected) != expected:
            raise UserError(
                f'{path}: "{key}" is {shown(config[key])}. Expected {shown(expected)}: only BERT encoders with '
                "absolute positions can be loaded; give another checkpoint."
            )
    activation = _read_activation(config, path, HUGGING_FACE_ACTIVATIONS)
    return _read_architecture(config, path, BERT_ENTRIES, activation)


def read_keras_hub_config(path: Path) -> BertArchitecture:
    """Read `config.json` of a keras-hub BertBackbone; raises a UserError if a value is missing or invalid."""
    config = read_json_object(path).get("config")
    if not isinstance(config, dict):
        raise UserError(f'{path}: no object "config". Expected the config of a keras-hub preset; download it again.')
    # BertBackbone always uses the tanh GELU and epsilon 1e-12, whatever the weights were trained with.
    return _read_architecture(config, path, KERAS_HUB_ENTRIES, "gelu_tanh")


def bert_config(architecture: BertArchitecture, activations: Mapping[str, str]) -> dict[str, Any]:
    """Make the config that `read_tf1_config` or `read_hugging_face_config` reads.

    Args:
        architecture: Architecture to describe.
        activations: `TF1_ACTIVATIONS` or `HUGGING_FACE_ACTIVATIONS`.

    Raises:
        UserError: The format has no name for the activation.
    """
    # Reversed, because a later synonym must not replace the first name.
    names = {ours: stored for stored, ours in reversed(list(activations.items()))}
    if architecture.activation not in names:
        raise UserError(
            f'The format has no name for the activation "{architecture.activation}". Expected one of '
            f"{', '.join(names)}; write another format."
        )
    config: dict[str, Any] = {entry.key: getattr(architecture, entry.field) for entry in BERT_ENTRIES}
    return config | {"hidden_act": names[architecture.activation]}


def _read_activation(config: Mapping[str, Any], path: Path, activations: Mapping[str, str]) -> str:
    name = config.get("hidden_act", "gelu")
    if not isinstance(name, str) or name not in activations:
        raise UserError(
            f'{path}: "hidden_act" is {shown(name)}. Expected one of {", ".join(activations)}; give another checkpoint.'
        )
    return activations[name]


def _read_architecture(
    config: Mapping[str, Any], path: Path, entries: tuple[Entry, ...], activation: str
) -> BertArchitecture:
    architecture = BertArchitecture(
        activation=activation, **{entry.field: _read_value(config, path, entry) for entry in entries}
    )
    if architecture.hidden_dim % architecture.num_heads:
        raise UserError(
            f"{path}: hidden size {architecture.hidden_dim} with {architecture.num_heads} attention heads. Expected a "
            "hidden size that is a multiple of the heads; check the config."
        )
    return architecture


def _read_value(config: Mapping[str, Any], path: Path, entry: Entry) -> Any:
    value = config.get(entry.key, entry.default)
    kind = entry.kind
    # In Python bool is a subclass of int, but in JSON it is no number.
    if isinstance(value, bool) or not isinstance(value, kind.types) or not kind.rule(value):
        found = shown(value) if entry.key in config else "missing"
        raise UserError(
            f'{path}: "{entry.key}" is {found}. Expected {kind.description}; check that it is the config of a BERT.'
        )
    return value
